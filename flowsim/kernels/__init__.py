"""Compiled loops for the CPU. Each module imports numba, so the modules that call them import them late."""
