"""Distillation of a depth network into a small one: `python -m depth.distill --help`.

The student (`depth.tiny.TinyDPT`) learns from photos with the depth of a teacher, which is read from a folder or
computed by any model that `DepthEstimator` loads. Masks, if given, lift and sharpen the salient object (`targets`).
"""
