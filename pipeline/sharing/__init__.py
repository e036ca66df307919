"""Shares a dataset: a published copy with its card, and the tree of the published code."""
