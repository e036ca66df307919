"""The two-stream network, its encoders and its checkpoints."""
