"""Evaluate a network on whole benchmarks: flow where there is none, masks of every video, scores by the protocols."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.command.progress import Progress
from pipeline.engine import run_tasks as engine
from pipeline.engine.placement import Placement, count_of
from pipeline.files.regular_files import read_text
from pipeline.files.whole_files import write_whole
from pipeline.making.config import differences
from pipeline.redaction import without_credentials
from segmentation.data.source_names import Benchmark
from segmentation.errors import DatasetError, SegmentationError
from segmentation.flow.clips import Clip, clips_in
from segmentation.flow.estimate import FlowSettings, make_flows
from segmentation.flow.frame_flows import FrameFlows, note_on_sizes, open_flows
from segmentation.network.network_files import WEIGHTS_FILE, find_network
from segmentation.prediction.video_masks import VideoMasksTask, has_masks, start_worker, unfinished_folder
from segmentation.scoring.protocols import Protocol, protocol_for
from segmentation.scoring.score import Report, score_predictions
from segmentation.videos.datasets import ALL, OpenedDataset, Sequences, Video, open_dataset
from segmentation.videos.trees import some

SETTINGS_FILE = "settings.json"


@dataclass(frozen=True)
class Result:
    """One benchmark's outcome.

    Attributes:
        dataset: as opened.
        masks: folder of the predicted masks.
        report: scores; None if no video could be predicted.
        problems: by name of a video, why it was not predicted.
    """

    dataset: OpenedDataset
    masks: Path
    report: Report | None
    problems: Mapping[str, str]


@dataclass
class Evaluation:
    """What came out of a run.

    Attributes:
        results: by name of the dataset.
        frames: predicted in this run.
        busy_seconds: the networks of all workers worked so long in this run.
        idle_seconds: they waited so long for frames and flow.
        seconds: all predictions of this run took so long by the clock, with the start of the workers.
    """

    results: dict[str, Result] = field(default_factory=dict)
    frames: int = 0
    busy_seconds: float = 0.0
    idle_seconds: float = 0.0
    seconds: float = 0.0

    @property
    def waiting_share(self) -> float | None:
        """Share of the time in which the network waited for data; None if nothing was predicted in this run."""
        total = self.busy_seconds + self.idle_seconds
        return self.idle_seconds / total if total else None

    @property
    def reports(self) -> dict[str, Report]:
        """Scores by name of the dataset; datasets of which no video could be predicted are left out."""
        return {name: result.report for name, result in self.results.items() if result.report is not None}

    def as_json(self, checkpoint: Path) -> dict[str, Any]:
        """Return everything as what `json.dump` can write."""
        return {
            "checkpoint": str(checkpoint),
            "frames predicted in this run": self.frames,
            "share of time the network waited for data": self.waiting_share,
            "datasets": {
                name: {} if result.report is None else result.report.as_json() for name, result in self.results.items()
            },
            "not predicted": {name: dict(result.problems) for name, result in self.results.items() if result.problems},
        }


@dataclass(frozen=True)
class _Opened:
    """A benchmark whose folder has been looked at."""

    benchmark: Benchmark
    dataset: OpenedDataset
    protocol: Protocol
    clips: tuple[Clip, ...]
    problems: Mapping[str, str]

    @property
    def names(self) -> dict[str, list[str]]:
        """Names of the frames to predict of each video: those that have ground truth."""
        usable = {clip.name for clip in self.clips}
        videos = (video for video in self.dataset.videos if video.name in usable)
        return {video.name: [frame.name for frame in video.annotated] for video in videos}

    @property
    def scored_clips(self) -> list[Clip]:
        """The videos that have ground truth."""
        names = self.names
        return [clip for clip in self.clips if names.get(clip.name)]

    @property
    def scored_videos(self) -> list[Video]:
        """The same, with their masks."""
        names = self.names
        return [video for video in self.dataset.videos if names.get(video.name)]


def predict_and_score(
    benchmarks: Sequence[Benchmark],
    checkpoint: Path,
    output: Path,
    raft: FlowSettings,
    progress: Progress,
    placement: Placement,
    side_px: int | None = None,
    sequences: Sequences = ALL,
) -> Evaluation:
    """Predict and score; the same call again predicts only the videos that are missing.

    Args:
        benchmarks: datasets.
        checkpoint: as `load_network` takes it.
        output: folder for the masks, `<output>/<dataset>/<video>/<frame>.png`, and for flow that is estimated,
            `<output>/flows/<dataset>.zarr`.
        raft: how flow is estimated where a benchmark has none.
        progress: who watches.
        placement: where it is done; other machines must see the same paths.
        side_px: of the square that the network sees; None = as it was trained.
        sequences: those that are asked for, of all benchmarks together.

    Raises:
        SegmentationError: a dataset, the checkpoint, flow or the output is not as it has to be.
        PipelineError: the machine has no such device, or the stored flow cannot be read or written.
    """
    from segmentation.network.checkpoint import load_network

    datasets = [open_dataset(benchmark.name, benchmark.root) for benchmark in benchmarks]
    sequences.check(
        frozenset().union(*(dataset.names for dataset in datasets)),
        " and ".join(str(benchmark.root) for benchmark in benchmarks),
    )
    opened = [
        _open(benchmark, dataset.only(sequences)) for benchmark, dataset in zip(benchmarks, datasets, strict=True)
    ]
    if len({each.benchmark.name for each in opened}) < len(opened):
        raise SegmentationError("a dataset is named twice by --dataset; expected each once")
    seen_px = load_network(checkpoint, side_px=side_px).side_px  # before hours are spent on flow
    flow_of = {each.benchmark.name: _given_flow(each) for each in opened if each.benchmark.flows is not None}
    for each in opened:
        settings = {
            "checkpoint_sha256": _sha256_of(checkpoint),
            "flow": without_credentials(each.benchmark.flows or f"RAFT {raft.weights}, {raft.iterations} iterations"),
            "split": each.dataset.split,
            "side_px": seen_px,
        }
        _begin_or_continue(output / each.benchmark.name, settings)
    evaluation = Evaluation()
    tasks: list[VideoMasksTask] = []
    problems = {each.benchmark.name: dict(each.problems) for each in opened}
    for each in opened:
        name = each.benchmark.name
        if name not in flow_of:
            store = str(output / "flows" / f"{name}.zarr")
            summary = make_flows(each.scored_clips, store, raft, progress, placement)
            problems[name] |= summary.problems
            each = replace(each, clips=tuple(clip for clip in each.clips if clip.name in summary.complete))
            if not each.clips:
                continue
            flow_of[name] = open_flows(store, each.dataset)
            for video in each.scored_videos:
                flow_of[name].check(video)
        if note := note_on_sizes(flow_of[name], each.scored_videos):
            progress.announce(f"note: {note}")
        tasks += _tasks(each, flow_of[name], output / name)
    in_all = sum(len(task.images) for task in tasks)
    progress.announce(f"{count_of(len(tasks), 'video')}, {count_of(in_all, 'frame')} to predict")
    done = failed = 0
    progress.update(in_all, done, failed)
    started = time.perf_counter()
    for report in engine.run_tasks(partial(start_worker, checkpoint, side_px), tasks, placement, progress.announce):
        done += report.frames
        if report.problem:
            problems[report.dataset][report.video] = report.problem
            failed += report.frames
        else:
            evaluation.frames += report.frames
        evaluation.busy_seconds += report.busy_seconds
        evaluation.idle_seconds += report.idle_seconds
        progress.update(in_all, done, failed)
    evaluation.seconds = time.perf_counter() - started
    shutil.rmtree(unfinished_folder(output), ignore_errors=True)
    for each in opened:
        name = each.benchmark.name
        evaluation.results[name] = _score(each, output / name, problems[name], progress)
    return evaluation


def _open(benchmark: Benchmark, dataset: OpenedDataset) -> _Opened:
    protocol = protocol_for(benchmark.name)
    if not dataset.names:
        raise DatasetError(f"--sequences chooses nothing in {benchmark.root}; leave --dataset {benchmark.name}=... out")
    dataset.require_videos()
    clips, problems = clips_in(dataset)
    if not any(video.annotated for video in dataset.videos):
        raise DatasetError(f"{dataset.row.title} in {benchmark.root} has no masks for its split {dataset.split}")
    return _Opened(benchmark, dataset, protocol, tuple(clips), problems)


def _given_flow(opened: _Opened) -> FrameFlows:
    """Open the flow that a benchmark names.

    Raises:
        SegmentationError: it lacks videos or frames.
    """
    flows = open_flows(str(opened.benchmark.flows), opened.dataset)
    lacking = []
    for video in opened.scored_videos:
        try:
            flows.check(video)
        except DatasetError as error:
            lacking.append(str(error))
    if lacking:
        raise DatasetError(
            f"the flow of {len(lacking)} of {len(opened.scored_videos)} videos cannot be used: {lacking[0]}; or leave "
            f":{opened.benchmark.flows} out to have it estimated"
        )
    return flows


def _tasks(opened: _Opened, flows: FrameFlows, folder: Path) -> list[VideoMasksTask]:
    """List the videos that have no masks yet."""
    tasks = []
    for video in opened.scored_videos:
        frames = [frame for frame in video.annotated if frame.image is not None]
        images = {frame.name: frame.image for frame in frames if frame.image is not None}
        if images and not has_masks(folder / video.name, images):
            tasks.append(VideoMasksTask(opened.benchmark.name, video.name, images, flows, folder))
    return tasks


def _score(opened: _Opened, masks: Path, problems: Mapping[str, str], progress: Progress) -> Result:
    predicted = [name for name, frames in opened.names.items() if has_masks(masks / name, frames)]
    if not predicted:
        return Result(opened.dataset, masks, None, problems)
    progress.announce(f"scoring {opened.dataset.row.title}")
    report = score_predictions(opened.dataset, masks, opened.protocol, allow_missing=bool(problems))
    return Result(opened.dataset, masks, report, problems)


def _begin_or_continue(folder: Path, settings: Mapping[str, Any]) -> None:
    """Note what the masks in a folder are made with, or make sure that it is the same as before.

    Raises:
        SegmentationError: it is not, or the folder cannot be written, or holds something else.
    """
    path = folder / SETTINGS_FILE
    try:
        if path.exists():
            stored = json.loads(read_text(path))
        elif folder.exists() and any(folder.iterdir()):
            inside = some(sorted(child.name for child in folder.iterdir()))
            raise SegmentationError(f"{folder} holds other files ({inside}); choose another --output")
        else:
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, (json.dumps(settings, indent=1) + "\n").encode())
            return
    except OSError as error:
        raise SegmentationError(f"{folder} cannot be written: {error.strerror or error}; repair this") from error
    except (ValueError, RecursionError) as error:
        raise SegmentationError(f"{path} is damaged ({error}); remove {folder} to begin anew") from error
    if lines := differences(stored, settings):
        raise SegmentationError(
            f"{folder} was begun with other settings (there -> now: {'; '.join(lines)}); run with the same settings to "
            "continue it, or choose another --output"
        )


def _sha256_of(checkpoint: Path) -> str:
    path = find_network(checkpoint)
    with (path / WEIGHTS_FILE if path.is_dir() else path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
