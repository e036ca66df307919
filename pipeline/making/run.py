"""`pipeline run`: listing -> plan -> workers -> summary."""

from __future__ import annotations

from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

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


@dataclass(frozen=True)
class RunSummary:
    """What a finished run leaves behind, over the whole dataset."""

    photos: int
    photos_made_now: int
    failures: tuple[Failure, ...]
    listing_notes: tuple[str, ...]


def run(config: RunConfig, progress: Progress | None = None) -> RunSummary:
    """Make the dataset that `config` describes, or what is missing of it.

    Args:
        config: what is made, of what, and where it runs.
        progress: told what happens; by default nobody is.

    Raises:
        PipelineError, depth.DepthError: nothing usable as input, another dataset as output, no room, no such model...
            Shards that were committed before stay.
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
    progress.announce(f"{len(listing)} photos ({listing.source}); loading {config.depth_model}")
    store = DatasetStore(config.output)
    store.refuse_foreign_content()  # before anything is written or loaded
    resolved = _resolve(config)
    with store.sole_writer(progress.announce) as lock:
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
        finally:
            with suppress(PipelineError):  # a full disk has been said by then, and a note is not worth a failed run
                log.save(store)
        store.refuse_unfinished()
        return RunSummary(len(listing), done, tuple(store.failures()), listing.notes)


def _layout(config: RunConfig, listing: Listing) -> Layout:
    from flowsim import MotionSample

    return Layout(len(listing), config.motions, config.max_side, MotionSample.names, config.samples_per_shard)


def _resolve(config: RunConfig) -> dict[str, Any]:
    """Find out what the depth model and the motion model are, exactly."""
    from depth import DepthEstimator

    estimator = DepthEstimator.load(
        config.depth_model, device="cpu", resize=config.resize, normalization=config.normalization
    )
    depth = {name: value for name, value in estimator.provenance().items() if name != "precision"}
    return {"depth": depth, "motion_prior": config.motion_prior().to_dict()}


def _start_worker(config: RunConfig, share: Share) -> engine.Worker:
    from pipeline.making.worker import ShardWorker

    return ShardWorker(config, share)


def reasons(failures: tuple[Failure, ...]) -> list[tuple[str, int]]:
    """Count failures by reason, most frequent first."""
    return Counter(failure.reason for failure in failures).most_common()
