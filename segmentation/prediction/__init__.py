"""Predicts masks: of whole benchmarks, and of a user's own clips."""
