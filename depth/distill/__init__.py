"""Distil a depth network into a small one: `python -m depth.distill --help`.

The student (`depth.tiny.TinyDPT`) learns from photos with a teacher's depth, read from a folder or computed by any
model that `DepthEstimator` loads. Masks, where there are any, lift and sharpen the salient object (`targets`).
"""
