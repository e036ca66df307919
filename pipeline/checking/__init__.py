"""Checks of a dataset: checksums, plausible values, and repair."""
