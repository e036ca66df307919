"""Estimated flow of many videos: the tasks that are not done yet, and the worker that does a task."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import UInt8

from pipeline.command.progress import Progress
from pipeline.dataset.flow_store import FlowDataset, FlowLayout, FlowStoreError, VideoFlowStore
from pipeline.dataset.shard_writer import write_shard
from pipeline.engine import run_tasks as engine
from pipeline.engine.placement import Placement, Share, count_of
from pipeline.making.continuing import create_or_continue
from segmentation.errors import FlowError
from segmentation.flow.clips import Clip
from segmentation.flow.estimators import Identity, identify, load_estimator
from segmentation.flow.frame_sizes import check_size
from segmentation.flow.frame_steps import estimate_steps, pair_of
from segmentation.flow.settings import EstimatorSettings
from segmentation.videos.footage import Footage


@dataclass(frozen=True)
class FlowTask:
    """One unit of work: the flow of some frames of one video.

    Attributes:
        video: name of the video.
        shard: number of the shard that the frames make up.
        footage: frames of the video.
        frames: numbers of the frames of the shard.
        pairs: numbers of the frames between which the flow of each frame is estimated, by `pair_of`.
    """

    video: str
    shard: int
    footage: Footage
    frames: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class FlowOutcome:
    """Outcome of one task; `problem` is empty if it succeeded."""

    video: str
    frames: int
    problem: str


@dataclass
class FlowSummary:
    """Outcome of a run.

    Attributes:
        complete: names of the videos whose flow is complete.
        frames_made_now: number of frames whose flow was estimated in this run.
        problems: why the flow of each of the other videos is not complete, by name of the video.
    """

    complete: list[str] = field(default_factory=list)
    frames_made_now: int = 0
    problems: dict[str, str] = field(default_factory=dict)


def make_flows(
    clips: Sequence[Clip],
    output: str,
    settings: EstimatorSettings,
    progress: Progress,
    placement: Placement,
) -> FlowSummary:
    """Estimate the flow of videos, or what is missing of it; a video that cannot be used does not stop the others.

    Args:
        clips: videos.
        output: Zarr group to make or to continue; folder or URL.
        settings: settings of the flow.
        progress: is told how far the run is.
        placement: device and workers.

    Raises:
        FlowError: there are no such weights.
        PipelineError: the output holds something else or flow of other settings, or it cannot be written.
    """
    dataset = FlowDataset(output)
    dataset.refuse_foreign_content()  # before anything is loaded
    identity = identify(settings)
    summary = FlowSummary()
    with dataset.sole_writer(progress.announce) as lock:
        dataset.begin({"layout_of_videos": "one group per video: flow[frame, row, column, uv], frame"})
        tasks: list[FlowTask] = []
        for clip in clips:
            try:
                tasks += _prepare(dataset.video(clip.name), clip, settings, identity)
            except (FlowError, FlowStoreError) as problem:
                summary.problems[clip.name] = str(problem)
        dataset.list_for_zarr()
        to_do = sum(len(task.pairs) for task in tasks)
        progress.announce(
            f"{count_of(len(clips), 'video')}, {count_of(to_do, 'frame')} to do; {identity.name} ({identity.network})"
        )
        failed = 0
        progress.update(to_do, 0, failed)
        factory = partial(start_worker, output, settings)
        with closing(engine.run_tasks(factory, tasks, placement, progress.announce)) as outcomes:
            for outcome in outcomes:
                lock.check()
                if outcome.problem:
                    summary.problems.setdefault(outcome.video, outcome.problem)
                    failed += outcome.frames
                else:
                    summary.frames_made_now += outcome.frames
                progress.update(to_do, summary.frames_made_now + failed, failed)
        summary.complete = [clip.name for clip in clips if clip.name not in summary.problems]
        for name in summary.complete:
            dataset.video(name).refuse_unfinished()
    return summary


def _prepare(store: VideoFlowStore, clip: Clip, settings: EstimatorSettings, identity: Identity) -> list[FlowTask]:
    """Begin or continue the flow of one video; return its remaining tasks.

    Raises:
        FlowError: the video has too few frames, or they are too small or cannot be read.
        PipelineError: the flow was begun with other settings.
    """
    frames = len(clip.footage.names)
    if frames <= settings.stride:
        which = "from each frame to the next" if settings.stride == 1 else f"with --stride {settings.stride}"
        raise FlowError(
            f"{clip.name} has {count_of(frames, 'frame')}; flow {which} needs at least {settings.stride + 1}"
        )
    content: dict[str, Any] = {
        "network": identity.network,
        "weights_sha256": identity.sha256,
        "iterations": identity.iterations,
        "stride": settings.stride,
        "upscale": settings.upscale,
        "frames": frames,
        "listing_hash": clip.footage.listing_hash(),
    }
    if store.exists():
        layout = store.layout
    else:
        height, width = next(clip.footage.read(clip.wanted[:1])).shape[:2]
        check_size(settings.flow, height, width, settings.upscale)
        layout = FlowLayout(len(clip.wanted), height, width)
    if clip.chosen is not None:
        names = "\n".join(clip.footage.names[number] for number in clip.chosen)
        content["chosen"] = {"frames": len(clip.chosen), "sha256": hashlib.sha256(names.encode()).hexdigest()}
    create_or_continue(store, layout, content, {"weights": identity.name, "origin": dict(clip.origin)})
    to_do = sorted(set(range(layout.shard_count)) - store.committed())
    return [_task(clip, shard, layout, settings.stride) for shard in to_do]


def _task(clip: Clip, shard: int, layout: FlowLayout, stride: int) -> FlowTask:
    rows = layout.rows(shard)
    frames = tuple(clip.wanted[rows.start : rows.stop])
    pairs = tuple(pair_of(frame, len(clip.footage.names), stride) for frame in frames)
    return FlowTask(clip.name, shard, clip.footage, frames, pairs)


def start_worker(output: str, settings: EstimatorSettings, share: Share) -> FlowWorker:
    """Start a worker on its share of the machine."""
    share.set_up_torch()
    return FlowWorker(output, settings, share.device)


class FlowWorker:
    """Estimates flow with one network on one device; `make` may be called from several threads."""

    def __init__(self, output: str, settings: EstimatorSettings, device: str) -> None:
        self._dataset = FlowDataset.open(output)
        self._estimator = load_estimator(settings, device)

    def make(self, task: FlowTask) -> FlowOutcome:
        """Estimate, write and commit the flow of one shard.

        Raises:
            PipelineError: the flow cannot be written.
        """
        store = self._dataset.video(task.video)
        layout = store.layout
        rows = layout.rows(task.shard)
        steps = np.empty((len(rows), layout.height, layout.width, 2), np.int16)
        read = sorted({frame for pair in task.pairs for frame in pair})
        position = {frame: place for place, frame in enumerate(read)}
        pairs = [(position[first], position[second]) for first, second in task.pairs]
        try:
            for place, of_frame in enumerate(estimate_steps(self._estimator, _frames(task, read, layout), pairs)):
                steps[place] = of_frame
        except FlowError as problem:
            return FlowOutcome(task.video, len(rows), str(problem))
        names_of_video = task.footage.names
        names = np.array([names_of_video[frame] for frame in task.frames], object)
        write_shard(store, task.shard, {"flow": steps, "frame": names}, [], self._estimator.precision)
        return FlowOutcome(task.video, len(rows), "")


def _frames(task: FlowTask, numbers: Sequence[int], layout: FlowLayout) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Read frames for a task; raise if one has another size than the first frame of the video."""
    for number, image in zip(numbers, task.footage.read(numbers), strict=True):
        height, width = image.shape[:2]
        if (height, width) != (layout.height, layout.width):
            raise FlowError(
                f"frame {task.footage.names[number]} is {width}x{height}, the first frame "
                f"{layout.width}x{layout.height}; expected frames of one size"
            )
        yield image
