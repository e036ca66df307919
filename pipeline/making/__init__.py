"""The making of a dataset: configuration, plan, worker and run."""
