"""Samples to train on: from photos, from videos, mixed and transformed."""
