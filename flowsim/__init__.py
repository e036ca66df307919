"""Simulated optical flow from inverse depth and camera motion."""
