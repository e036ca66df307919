"""Makes a dataset: configuration, plan, worker and run."""
