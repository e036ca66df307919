"""The description that any kind of dataset gives of its arrays and of their division into shards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol


class ShardedLayout(Protocol):
    """The sizes of a dataset that a store needs; a frozen dataclass of plain values with the methods of `InShards`."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def samples(self) -> int:
        """Number of rows."""

    @property
    def samples_per_shard(self) -> int:
        """Rows of a shard."""

    @property
    def shard_count(self) -> int:
        """Number of shards."""

    def rows(self, shard: int) -> range:
        """Return the rows of one shard."""


class InShards:
    """The division of a layout's rows into shards."""

    @property
    def shard_count(self: ShardedLayout) -> int:
        """Number of shards."""
        return -(-self.samples // self.samples_per_shard)

    def rows(self: ShardedLayout, shard: int) -> range:
        """Return the rows of one shard; the last shard may have fewer."""
        start = shard * self.samples_per_shard
        return range(start, min(start + self.samples_per_shard, self.samples))


@dataclass(frozen=True)
class ArraySpec:
    """One array of a dataset.

    Attributes:
        dimensions: names of the axes.
        shape: lengths of the axes.
        dtype: name of a NumPy type, or `string`.
        fill_value: value of elements that are not stored.
        attributes: unit, range and meaning, kept with the array.
        has_sample_chunks: each sample is a chunk; otherwise a chunk holds all rows of a shard.
    """

    dimensions: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    fill_value: Any
    attributes: Mapping[str, Any]
    has_sample_chunks: bool = True
