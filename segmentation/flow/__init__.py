"""Optical flow of real video: RAFT, and flow kept on disk."""
