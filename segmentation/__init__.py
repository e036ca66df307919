"""The two-stream network's benchmarks: video datasets, measures, protocols and the `segmentation` command."""
