"""The course of `pipeline run`: listing, plan, workers, summary."""

from __future__ import annotations

from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from depth import DepthError
from pipeline.command.progress import Progress, Silent
from pipeline.dataset.commits import Failure
from pipeline.dataset.run_log import RunLog
from pipeline.dataset.schema import Layout
from pipeline.dataset.store import DatasetStore
from pipeline.engine import run_tasks as engine
from pipeline.engine.placement import Share
from pipeline.errors import PipelineError
from pipeline.making.config import RunConfig
from pipeline.making.plan import make_plan, prepare
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
    progress = progress or Silent()
    listing = build_listing(
        config.input,
        images=config.images,
        masks=config.masks,
        split=config.split,
        allow_missing_masks=config.allow_missing_masks,
        limit=config.limit,
    )
    progress.announce(f"{len(listing)} photos ({listing.source}); depth by {config.depth_model}")
    store = DatasetStore(config.output)
    store.refuse_foreign_content()  # before anything is written or loaded
    resolved = _resolve(config)
    with store.sole_writer(progress.announce) as lock:
        is_new = not store.exists()
        prepare(store, config, listing, _layout(config, listing), resolved, progress.announce)
        plan = make_plan(store, listing, config.retry_failed)
        done = failed = 0
        if plan.photos_done:
            progress.announce(f"{plan.photos_done} photos are done already")
        start_worker = partial(_start_worker, config)
        progress.update(plan.photos_to_do, 0, 0)
        log = RunLog(progress)
        try:
            with closing(engine.run_tasks(start_worker, plan.tasks, config.placement, log.announce)) as outcomes:
                for outcome in outcomes:
                    lock.check()
                    done += outcome.photos
                    failed += len(outcome.failures)
                    log.add(outcome.photos, len(outcome.failures), outcome.seconds)
                    progress.update(plan.photos_to_do, done, failed)
        except DepthError:
            if is_new:
                # Its settings name a network that cannot be loaded, so nothing could continue it.
                store.withdraw_if_empty()
            raise
        finally:
            # A full disk has been reported by then, and a missing note should not fail a run.
            with suppress(PipelineError):
                if store.exists():
                    log.save(store)
        store.refuse_unfinished()
        return RunSummary(len(listing), done, tuple(store.failures()), listing.notes)


def _layout(config: RunConfig, listing: Listing) -> Layout:
    from flowsim import MotionSample

    return Layout(
        samples=len(listing),
        motions=config.motions,
        side=config.max_side,
        motion_parameters=MotionSample.names,
        samples_per_shard=config.samples_per_shard,
        frames=config.frames,
        objects=1 if config.objects == "mask" else LARGEST_NUMBER_OF_OBJECTS,
    )


def _resolve(config: RunConfig) -> dict[str, Any]:
    """Return the exact provenance of the depth network, which is not loaded, and the parameters of the motion model."""
    from depth.model_files import find_model

    depth = find_model(config.depth_model).describe(resize=config.resize, normalization=config.normalization)
    return {"depth": depth, "motion_prior": config.motion_prior().to_dict()}


def _start_worker(config: RunConfig, share: Share) -> engine.Worker:
    from pipeline.making.worker import ShardWorker

    return ShardWorker(config, share)


def reasons(failures: tuple[Failure, ...]) -> list[tuple[str, int]]:
    """Return the reasons of failures with their counts, the most frequent first."""
    return Counter(failure.reason for failure in failures).most_common()
