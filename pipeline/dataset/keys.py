"""Keys of the files of a dataset, and the name of its attributes."""

from __future__ import annotations

ROOT_METADATA = "zarr.json"
OURS = "fakeflow"
"""The group attribute that holds everything that this project states about a dataset."""


def shard_key(name: str, dimensions: int, shard: int) -> str:
    """Return the key of one shard of an array."""
    return "/".join((name, "c", str(shard), *["0"] * (dimensions - 1)))
