"""Runs workers in the calling process or on Ray."""
