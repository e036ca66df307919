"""The course of `pipeline run`: listing, plan, workers, summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from depth import DepthError
from pipeline.command.progress import Progress, Silent
from pipeline.dataset.commits import Failure
from pipeline.dataset.run_log import RunLog
from pipeline.dataset.schema import Layout
from pipeline.dataset.store import DatasetStore
from pipeline.engine import run_tasks as engine
from pipeline.engine.cluster import RayStart, early_ray
from pipeline.engine.placement import Share
from pipeline.errors import PipelineError
from pipeline.files.locks import WriterLock
from pipeline.making.config import RunConfig
from pipeline.making.network_identity import identify_network
from pipeline.making.plan import Content, Plan, content_of, make_plan, prepare
from pipeline.photos.listing import Listing, build_listing
from pipeline.photos.objects import LARGEST_NUMBER_OF_OBJECTS


@dataclass(frozen=True)
class RunSummary:
    """Summary of a finished run: numbers and failures of the whole dataset, and photos made by this run."""

    photos: int
    photos_made_now: int
    failures: tuple[Failure, ...]
    listing_notes: tuple[str, ...]


def run(config: RunConfig, progress: Progress | None = None) -> RunSummary:
    """Make the dataset that `config` describes, or the missing part of it.

    Args:
        config: settings of the dataset and of the machines.
        progress: told about the course of the run; by default nothing is printed.

    Raises:
        PipelineError, depth.DepthError: the run cannot go on, for example because there is no usable input, the output
            is another dataset, the disk is full, or there is no such model. Shards that were committed before stay.
    """
    return make_dataset(config, _Ordered(config), progress or Silent())


class Order(Protocol):
    """What a run is to make."""

    def find_photos(self, progress: Progress) -> Listing:
        """List the photos."""

    def content(self, listing: Listing, network: Mapping[str, Any]) -> Content:
        """Return what the dataset is made to be, given the photos and the provenance of the depth network here."""


class _Ordered:
    """What settings order: the photos that are in the input, by the depth network that is on this machine."""

    def __init__(self, config: RunConfig) -> None:
        self._config = config

    def find_photos(self, progress: Progress) -> Listing:
        config = self._config
        return build_listing(
            config.input,
            images=config.images,
            masks=config.masks,
            split=config.split,
            allow_missing_masks=config.allow_missing_masks,
            limit=config.limit,
        )

    def content(self, listing: Listing, network: Mapping[str, Any]) -> Content:
        resolved = {"depth": network, "motion_prior": self._config.motion_prior().to_dict()}
        return content_of(self._config, listing, resolved)


def make_dataset(config: RunConfig, order: Order, progress: Progress) -> RunSummary:
    """Make the dataset that is ordered, or the missing part of it.

    Args:
        config: settings of the dataset and of the machines.
        order: the photos and the content of the dataset.
        progress: told about the course of the run.

    Raises:
        PipelineError, depth.DepthError: as in `run`.
    """
    store = DatasetStore(config.output)
    is_complete = store.exists() and len(store.committed()) == store.layout.shard_count
    with nullcontext() if is_complete else early_ray(config.placement) as ray_start:
        if ray_start is not None:
            progress.announce("starting Ray")
        listing = order.find_photos(progress)
        progress.announce(f"{len(listing)} photos ({listing.source}); depth by {config.depth_model}")
        content = order.content(listing, identify_network(config, store, ray_start))
        with store.sole_writer(progress.announce) as lock:
            is_new = not store.exists()
            prepare(store, content, listing, layout_of(config, len(listing)), progress.announce)
            plan = make_plan(store, listing, config.retry_failed, content.expected)
            try:
                made = _make(config, store, plan, lock, progress, ray_start)
            except DepthError:
                if is_new:
                    # Its settings name a network that cannot be loaded, so nothing could continue it.
                    store.withdraw_if_empty()
                raise
            store.refuse_unfinished()
            return RunSummary(len(listing), made, tuple(store.failures()), listing.notes)


def _make(
    config: RunConfig,
    store: DatasetStore,
    plan: Plan,
    lock: WriterLock,
    progress: Progress,
    ray_start: RayStart | None,
) -> int:
    """Make the missing part of a dataset; return the number of photos of this run."""
    done = failed = 0
    if plan.photos_done:
        progress.announce(f"{plan.photos_done} photos are done already")
    start_worker = partial(_start_worker, config)
    progress.update(plan.photos_to_do, 0, 0)
    log = RunLog(progress)
    try:
        tasks = engine.run_tasks(start_worker, plan.tasks, config.placement, log.announce, ray_start, are_alike=True)
        with closing(tasks) as outcomes:
            for outcome in outcomes:
                lock.check()
                done += outcome.photos
                failed += len(outcome.failures)
                log.add(outcome.photos, len(outcome.failures), outcome.seconds)
                progress.update(plan.photos_to_do, done, failed)
    finally:
        # A full disk has been reported by then, and a missing note should not fail a run.
        with suppress(PipelineError):
            if store.exists():
                log.save(store)
    return done


def layout_of(config: RunConfig, photos: int) -> Layout:
    """Return the sizes of the dataset of a number of photos."""
    from flowsim import MotionSample

    return Layout(
        samples=photos,
        motions=config.motions,
        side=config.max_side,
        motion_parameters=MotionSample.names,
        samples_per_shard=config.samples_per_shard,
        frames=config.frames,
        objects=1 if config.objects == "mask" else LARGEST_NUMBER_OF_OBJECTS,
    )


def _start_worker(config: RunConfig, share: Share) -> engine.Worker:
    from pipeline.making.worker import ShardWorker

    return ShardWorker(config, share)


def reasons(failures: tuple[Failure, ...]) -> list[tuple[str, int]]:
    """Return the reasons of failures with their counts, the most frequent first."""
    return Counter(failure.reason for failure in failures).most_common()
