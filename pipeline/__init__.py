"""Folders of photos to a Zarr dataset of image-flow-mask triplets."""
