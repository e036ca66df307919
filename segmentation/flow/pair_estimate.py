"""Estimated flow of a dataset of pairs, shard by shard: the kind of flow that networks meet in real video."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from depth.streams import map_on_cores
from pipeline.command.progress import Progress
from pipeline.dataset import schema
from pipeline.dataset.pair_flows import PairFlowLayout, PairFlowStore
from pipeline.dataset.shard_writer import write_shard
from pipeline.dataset.store import DatasetStore
from pipeline.engine import run_tasks as engine
from pipeline.engine.placement import Placement, Share, count_of
from pipeline.making.continuing import create_or_continue
from segmentation.errors import FlowError
from segmentation.flow.estimators import Estimator, identify, load_estimator
from segmentation.flow.pair_by_pair import estimate_enlarged
from segmentation.flow.pair_flows import check_has_pairs
from segmentation.flow.settings import EstimatorSettings

VIDEO_SIDE_PX = 854
"""Longer side that frames are enlarged to: that of DAVIS at 480p. Estimators find little in pictures of 240 px."""


@dataclass(frozen=True)
class PairTask:
    """One unit of work: the flow of the pairs of one shard."""

    shard: int


@dataclass(frozen=True)
class PairOutcome:
    """Outcome of one task: the number of pairs whose flow was estimated."""

    pairs: int


@dataclass(frozen=True)
class Pairs:
    """A finished dataset of `pipeline run --frames 2` or more; of a clip the first step counts.

    Attributes:
        url: folder or URL of the dataset.
        photos: folder or URL of its photos, if it was published without images.
    """

    url: str
    photos: str | None = None

    def open(self) -> DatasetStore:
        """Open the dataset.

        Raises:
            FlowError: the dataset has no second frames, or some of its shards are missing.
            PipelineError: there is no dataset, or its photos are needed and were not given.
        """
        store = DatasetStore.open(self.url, self.photos)
        check_has_pairs(store)
        if missing := store.layout.shard_count - len(store.committed()):
            raise FlowError(f"{store.name} is unfinished: {count_of(missing, 'shard')} missing. Finish it first")
        store.refuse_missing_photos()
        return store


def estimate_pairs(
    pairs: Pairs, output: str, settings: EstimatorSettings, progress: Progress, placement: Placement
) -> int:
    """Estimate the flow of all pairs of a dataset, or what is missing of it.

    Args:
        pairs: the dataset.
        output: dataset of flow to make or to continue; folder or URL.
        settings: estimator.
        progress: is told how far the run is.
        placement: device and workers.

    Returns:
        The number of pairs of this run.

    Raises:
        FlowError: the dataset has no pairs or is not finished, or there are no such weights.
        PipelineError: there is no dataset, its photos are needed and were not given, or the output holds something else
            or flow of other settings.
    """
    photos = pairs.open()
    store = PairFlowStore(output)
    store.refuse_foreign_content()  # before anything is loaded
    identity = identify(settings)
    content: dict[str, Any] = {
        "network": identity.network,
        "weights_sha256": identity.sha256,
        "iterations": identity.iterations,
        "side_px": VIDEO_SIDE_PX,
        "dataset": photos.attributes["fingerprint"],
    }
    made = 0
    with store.sole_writer(progress.announce) as lock:
        layout = PairFlowLayout.of(photos.layout)
        create_or_continue(store, layout, content, {"weights": identity.name, "dataset_name": photos.name})
        tasks = [PairTask(shard) for shard in sorted(set(range(layout.shard_count)) - store.committed())]
        to_do = sum(len(layout.rows(task.shard)) for task in tasks) * layout.motions
        progress.announce(f"{count_of(to_do, 'pair')} to do; {identity.name} ({identity.network})")
        progress.update(to_do, 0, 0)
        factory = partial(start_worker, pairs, output, settings)
        with closing(engine.run_tasks(factory, tasks, placement, progress.announce)) as outcomes:
            for outcome in outcomes:
                lock.check()
                made += outcome.pairs
                progress.update(to_do, made, 0)
        store.refuse_unfinished()
    return made


def start_worker(pairs: Pairs, output: str, settings: EstimatorSettings, share: Share) -> PairWorker:
    """Start a worker on its share of the machine."""
    share.set_up_torch()
    return PairWorker(pairs, output, load_estimator(settings, share.device))


class PairWorker:
    """Estimates the flow of pairs; `make` may be called from several threads."""

    def __init__(self, pairs: Pairs, output: str, estimator: Estimator) -> None:
        self._photos = pairs.open()
        self._store = PairFlowStore.open(output)
        self._estimator = estimator

    def make(self, task: PairTask) -> PairOutcome:
        """Estimate, write and commit the flow of one shard.

        Raises:
            PipelineError: the pairs cannot be read, or the flow cannot be written.
        """
        layout = self._store.layout
        rows = layout.rows(task.shard)
        here = slice(rows.start, rows.stop)
        status, sizes, windows = (self._photos.read(name, here) for name in ("status", "size", "window"))
        flows = np.zeros((len(rows), layout.motions, layout.side, layout.side, 2), np.int16)
        pairs = [
            (place, motion)
            for place in np.flatnonzero(status == schema.USABLE).tolist()
            for motion in range(layout.motions)
        ]

        def work(pair: tuple[int, int]) -> None:
            place, motion = pair
            row = rows.start + place
            first = self._photos.read("image", row)
            second = self._photos.read("next_image", row)[motion, 0]
            height, width = sizes[place]
            top, bottom, left, right = windows[place, motion]
            window = (slice(top, bottom), slice(left, right))
            flow = estimate_as_video(self._estimator, first[window], second[window])
            flows[place, motion, :height, :width] = schema.UNKNOWN_FLOW
            flows[place, motion][window] = schema.encode_flow(flow, np.ones(flow.shape[:2], np.bool_))

        map_on_cores(work, pairs)
        arrays = {"flow": flows, "id": self._photos.read("id", here)}
        write_shard(self._store, task.shard, arrays, [], self._estimator.precision)
        return PairOutcome(len(rows) * layout.motions)


def estimate_as_video(
    estimator: Estimator, first: UInt8[np.ndarray, "h w 3"], second: UInt8[np.ndarray, "h w 3"]
) -> Float32[np.ndarray, "h w 2"]:
    """Estimate flow between two frames as if they came from a video of usual size.

    Args:
        estimator: estimator of flow.
        first: frame of any size.
        second: frame of the same size.

    Returns:
        Flow in pixels of the given frames.
    """
    return estimate_enlarged(estimator.pair, first, second, VIDEO_SIDE_PX / max(first.shape[:2]))
