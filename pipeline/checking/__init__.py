"""Checks a dataset: checksums, plausible values, and repair."""
