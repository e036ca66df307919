"""Compiled loops for the CPU. Every module here imports numba, so callers import these modules only when needed."""
