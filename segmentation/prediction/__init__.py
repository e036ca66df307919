"""Prediction of masks for whole benchmarks, and for videos and photos of a user's own."""
