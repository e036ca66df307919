"""Views of a dataset: status, contact sheet and report."""
