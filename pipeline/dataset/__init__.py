"""The Zarr dataset: its schema, its shards, what makes a shard count, and how a sample is read."""
