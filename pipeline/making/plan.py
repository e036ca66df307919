"""The plan of a run: shards that are still to be made, from the listing and the commit records; what comes of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.dataset.commits import Failure
from pipeline.dataset.schema import Layout
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from pipeline.making.config import RunConfig, content_settings
from pipeline.making.continuing import Announce, create_or_grow
from pipeline.photos.listing import Listing
from pipeline.photos.originals import Expected
from pipeline.photos.rows import Row

FindExpected = Callable[[range], tuple[Expected, ...]]
"""A function that returns what is known in advance about the files of some rows."""


@dataclass(frozen=True)
class Content:
    """What a dataset is made to be, as its attributes say it.

    Attributes:
        settings: all settings that determine the dataset's values, as plain values.
        attributes: source and licence.
        expected: what the files of some rows have to be; None accepts any files.
    """

    settings: Mapping[str, Any]
    attributes: Mapping[str, str]
    expected: FindExpected | None = None


@dataclass(frozen=True)
class ShardTask:
    """One unit of work: a shard and its rows of the listing.

    Attributes:
        shard: number of the shard.
        rows: all photos of the shard.
        only: positions in `rows` that are made again while the others keep their stored values; None = all.
        expected: what the files of each row have to be; empty if any will do.
    """

    shard: int
    rows: tuple[Row, ...]
    only: tuple[int, ...] | None = None
    expected: tuple[Expected, ...] = ()

    @property
    def photos(self) -> int:
        """Number of photos to make."""
        return len(self.rows) if self.only is None else len(self.only)


@dataclass(frozen=True)
class ShardOutcome:
    """Result of making one shard. Seconds are wall-clock; those of several shards overlap.

    It stands here, not beside the worker, because the process that reads it needs no torch.
    """

    shard: int
    photos: int
    failures: tuple[Failure, ...]
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class ShardTasks:
    """The tasks of a plan; each is built when it is read.

    Attributes:
        layout: sizes of the dataset.
        listing: photos of the dataset.
        shard_numbers: numbers of the shards to make.
        failed: positions of the rows that are made again while the others are kept, by shard.
        expected: what the files of some rows have to be; None accepts any files.
    """

    layout: Layout
    listing: Listing
    shard_numbers: tuple[int, ...]
    failed: Mapping[int, tuple[int, ...]]
    expected: FindExpected | None = None

    def __len__(self) -> int:
        return len(self.shard_numbers)

    def __iter__(self) -> Iterator[ShardTask]:
        for shard in self.shard_numbers:
            rows = self.layout.rows(shard)
            expected = self.expected(rows) if self.expected else ()
            yield ShardTask(shard, tuple(self.listing.rows[rows.start : rows.stop]), self.failed.get(shard), expected)


@dataclass(frozen=True)
class Plan:
    """The work of a run: its tasks, and the numbers of photos that are done and to do."""

    tasks: ShardTasks
    photos_done: int
    photos_to_do: int


def content_of(config: RunConfig, listing: Listing, resolved: Mapping[str, Any]) -> Content:
    """Return what the dataset of a run is made to be.

    Args:
        config: settings of the run.
        listing: photos of the run.
        resolved: `depth` (provenance of the network) and `motion_prior`, as plain values.
    """
    settings = content_settings(config, listing_hash=listing.listing_hash, photos=len(listing), **resolved)
    return Content(
        settings, {"source": listing.source, "licence": "unknown: the photos keep the licence of their source"}
    )


def prepare(
    store: DatasetStore,
    content: Content,
    listing: Listing,
    layout: Layout,
    announce: Announce = lambda sentence: None,
) -> None:
    """Create the dataset, or check that the existing one can be continued.

    Args:
        store: the output; the caller holds its lock.
        content: what the dataset is made to be.
        listing: photos of the run.
        layout: sizes of the dataset.
        announce: told before anything that takes long.

    Raises:
        PipelineError: the existing dataset has other settings or photos; the message lists them.
    """
    if store.exists() and store.layout.left_out:
        raise PipelineError(
            f"{store.name} was published without images and cannot be continued. Choose another --output; "
            "`pipeline run --recipe` makes the whole dataset again."
        )
    create_or_grow(store, layout, content.settings, content.attributes, listing, announce)


def make_plan(store: DatasetStore, listing: Listing, retry_failed: bool, expected: FindExpected | None = None) -> Plan:
    """Plan the shards without a commit record and, with `retry_failed`, the failed rows of the other shards."""
    layout, committed = store.layout, store.committed()
    failed: dict[int, list[int]] = {}
    if retry_failed:
        for failure in store.failures():
            shard, position = divmod(failure.row, layout.samples_per_shard)
            failed.setdefault(shard, []).append(position)
    shard_numbers = tuple(shard for shard in range(layout.shard_count) if shard not in committed or shard in failed)
    to_do = sum(len(failed.get(shard, layout.rows(shard))) for shard in shard_numbers)
    again = {shard: tuple(positions) for shard, positions in failed.items()}
    return Plan(ShardTasks(layout, listing, shard_numbers, again, expected), len(listing) - to_do, to_do)
