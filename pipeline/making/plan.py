"""Which shards are still to do: listing + commit records + fingerprint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.dataset.schema import Layout
from pipeline.dataset.store import DatasetStore
from pipeline.making.config import RunConfig, content_settings
from pipeline.making.continuing import Announce, create_or_grow
from pipeline.photos.listing import Listing
from pipeline.photos.rows import Row


@dataclass(frozen=True)
class ShardTask:
    """One unit of work: a shard and the listing rows that belong into it.

    Attributes:
        shard: its number.
        rows: all its photos.
        only: positions in `rows` to make anew, the others are kept as stored; None = all.
    """

    shard: int
    rows: tuple[Row, ...]
    only: tuple[int, ...] | None = None

    @property
    def photos(self) -> int:
        """Number of photos to go through."""
        return len(self.rows) if self.only is None else len(self.only)


@dataclass(frozen=True)
class ShardTasks:
    """The tasks of a plan, made one by one when they are read.

    Attributes:
        layout: of the dataset.
        listing: its photos.
        shard_numbers: numbers of the shards to make.
        failed: by shard, the positions of the rows to make anew while the others are kept.
    """

    layout: Layout
    listing: Listing
    shard_numbers: tuple[int, ...]
    failed: Mapping[int, tuple[int, ...]]

    def __len__(self) -> int:
        return len(self.shard_numbers)

    def __iter__(self) -> Iterator[ShardTask]:
        for shard in self.shard_numbers:
            rows = self.layout.rows(shard)
            yield ShardTask(shard, tuple(self.listing.rows[rows.start : rows.stop]), self.failed.get(shard))


@dataclass(frozen=True)
class Plan:
    """What a run has to do."""

    tasks: ShardTasks
    photos_done: int
    photos_to_do: int


def prepare(
    store: DatasetStore,
    config: RunConfig,
    listing: Listing,
    layout: Layout,
    resolved: Mapping[str, Any],
    announce: Announce = lambda sentence: None,
) -> None:
    """Create the dataset, or make sure that the one there can be continued.

    Args:
        store: the output; the caller holds its lock.
        config: settings.
        listing: photos.
        layout: sizes.
        resolved: `depth` (the model's provenance) and `motion_prior`, plain values.
        announce: told of what takes long.

    Raises:
        PipelineError: the dataset there has other settings or photos; the message lists them.
    """
    settings = content_settings(config, listing_hash=listing.listing_hash, photos=len(listing), **resolved)
    attributes = {"source": listing.source, "licence": "unknown: the photos keep the licence of their source"}
    create_or_grow(store, layout, settings, attributes, listing, announce)


def make_plan(store: DatasetStore, listing: Listing, retry_failed: bool) -> Plan:
    """Return the shards without a commit record; with `retry_failed` also the failed rows of the others."""
    layout, committed = store.layout, store.committed()
    failed: dict[int, list[int]] = {}
    if retry_failed:
        for failure in store.failures():
            shard, position = divmod(failure.row, layout.samples_per_shard)
            failed.setdefault(shard, []).append(position)
    shard_numbers = tuple(shard for shard in range(layout.shard_count) if shard not in committed or shard in failed)
    to_do = sum(len(failed.get(shard, layout.rows(shard))) for shard in shard_numbers)
    again = {shard: tuple(positions) for shard, positions in failed.items()}
    return Plan(ShardTasks(layout, listing, shard_numbers, again), len(listing) - to_do, to_do)
