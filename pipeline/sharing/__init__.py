"""Shares a dataset: a published copy with its card, and exported trees that other programs read."""
