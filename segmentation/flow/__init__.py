"""Optical flow of real video: RAFT, and flow that is stored on disk."""
