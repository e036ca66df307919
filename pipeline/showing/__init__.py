"""Shows a dataset: status, contact sheet and report."""
