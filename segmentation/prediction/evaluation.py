"""Evaluation of a network on whole benchmarks: flow where none is given, masks of every video, scores and pictures."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.command.progress import Progress
from pipeline.engine import run_tasks as engine
from pipeline.engine.placement import count_of
from pipeline.redaction import without_credentials
from segmentation.data.source_names import Benchmark
from segmentation.flow.estimate import make_flows
from segmentation.flow.frame_flows import FrameFlows, note_on_sizes, open_flows
from segmentation.network.network_files import WEIGHTS_FILE, find_network
from segmentation.prediction.evaluation_worker import VideoMasksTask, start_worker
from segmentation.prediction.mask_folders import begin_or_continue, has_masks, unfinished_folder
from segmentation.prediction.opened_benchmarks import OpenedBenchmark, open_benchmarks
from segmentation.prediction.settings import EvaluationSettings
from segmentation.scoring.score import Scores, score_predictions
from segmentation.videos.datasets import OpenedDataset, Sequences


@dataclass(frozen=True)
class Result:
    """Outcome of one benchmark.

    Attributes:
        dataset: videos of the benchmark.
        masks: folder of the predicted masks.
        scores: scores of the dataset; None if no video could be predicted.
        problems: why each of the other videos was not predicted, by name of the video.
    """

    dataset: OpenedDataset
    masks: Path
    scores: Scores | None
    problems: Mapping[str, str]


@dataclass
class Evaluation:
    """Outcome of an evaluation.

    Attributes:
        results: results by name of the dataset.
        frames: number of frames predicted in this run.
        busy_seconds: time that the networks of all workers worked in this run.
        idle_seconds: time that they waited for frames and flow.
        seconds: wall-clock time of all predictions of this run, including the start of the workers.
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
    def scores(self) -> dict[str, Scores]:
        """Scores by name of the dataset; datasets of which no video could be predicted are left out."""
        return {name: result.scores for name, result in self.results.items() if result.scores is not None}

    def as_json(self, checkpoint: Path) -> dict[str, Any]:
        """Return the outcome as plain values that `json.dump` can write."""
        return {
            "checkpoint": str(checkpoint),
            "frames predicted in this run": self.frames,
            "share of time the network waited for data": self.waiting_share,
            "datasets": {
                name: {} if result.scores is None else result.scores.as_json() for name, result in self.results.items()
            },
            "not predicted": {name: dict(result.problems) for name, result in self.results.items() if result.problems},
        }


def predict_and_score(settings: EvaluationSettings, progress: Progress) -> Evaluation:
    """Predict masks and score them, without pictures; the same call again predicts only the missing videos.

    Masks are written as `<output>/<dataset>/<video>/<frame>.png`, and flow that is estimated as
    `<output>/flows/<dataset>.zarr`. Arguments and errors are those of `segmentation.evaluate`.
    """
    from segmentation.network.checkpoint import load_network

    opened = open_benchmarks(_benchmarks(settings), Sequences.parse(settings.sequences))
    seen_px = load_network(settings.checkpoint, side_px=settings.side_px).side_px  # before hours are spent on flow
    given = {each.name: each.open_given_flow() for each in opened if each.benchmark.flows is not None}
    for each in opened:
        begin_or_continue(settings.output / each.name, _content(each, settings, seen_px))
    problems = {each.name: dict(each.problems) for each in opened}
    tasks: list[VideoMasksTask] = []
    for each in opened:
        usable, flows = each, given.get(each.name)
        if flows is None:
            usable, flows = _estimate_flow(each, settings, progress)
            problems[each.name] |= usable.problems
        if flows is None:
            continue
        if note := note_on_sizes(flows, usable.scored_videos):
            progress.announce(f"note: {note}")
        tasks += _missing_masks(usable, flows, settings.output / each.name)
    evaluation = Evaluation()
    _predict(tasks, settings, evaluation, problems, progress)
    for each in opened:
        evaluation.results[each.name] = _score(each, settings.output / each.name, problems[each.name], progress)
    return evaluation


def _benchmarks(settings: EvaluationSettings) -> list[Benchmark]:
    return [Benchmark.parse(text) for text in settings.dataset]


def _content(opened: OpenedBenchmark, settings: EvaluationSettings, seen_px: int) -> dict[str, Any]:
    """Return everything that decides the masks of a benchmark, as plain values without credentials."""
    raft = f"RAFT {settings.raft}, {settings.raft_iterations} iterations"
    estimator = {"raft": raft, "dis": "DIS"}.get(settings.flow, settings.flow)
    return {
        "checkpoint_sha256": _sha256_of(settings.checkpoint),
        "flow": without_credentials(opened.benchmark.flows or estimator),
        "split": opened.dataset.split,
        "side_px": seen_px,
    }


def _estimate_flow(
    opened: OpenedBenchmark, settings: EvaluationSettings, progress: Progress
) -> tuple[OpenedBenchmark, FrameFlows | None]:
    """Estimate the flow of a benchmark, or what is missing of it.

    Returns:
        The benchmark with only those videos whose flow is complete, with the problems of the others; and the flow,
        None if that of no video is complete.
    """
    store = str(settings.output / "flows" / f"{opened.name}.zarr")
    summary = make_flows(opened.scored_clips, store, settings, progress, settings.placement)
    clips = tuple(clip for clip in opened.clips if clip.name in summary.complete)
    usable = replace(opened, clips=clips, problems={**opened.problems, **summary.problems})
    if not clips:
        return usable, None
    flows = open_flows(store, usable.dataset)
    for video in usable.scored_videos:
        flows.check(video)
    return usable, flows


def _missing_masks(opened: OpenedBenchmark, flows: FrameFlows, folder: Path) -> list[VideoMasksTask]:
    """Return a task for each video whose masks are not complete."""
    tasks = []
    for video in opened.scored_videos:
        images = {frame.name: frame.image for frame in video.annotated if frame.image is not None}
        if images and not has_masks(folder / video.name, images):
            tasks.append(VideoMasksTask(opened.name, video.name, images, flows, folder))
    return tasks


def _predict(
    tasks: list[VideoMasksTask],
    settings: EvaluationSettings,
    evaluation: Evaluation,
    problems: Mapping[str, dict[str, str]],
    progress: Progress,
) -> None:
    """Predict the masks of videos; add frames and times to `evaluation`, and problems to those of the dataset."""
    in_all = sum(len(task.images) for task in tasks)
    progress.announce(f"{count_of(len(tasks), 'video')}, {count_of(in_all, 'frame')} to predict")
    done = failed = 0
    progress.update(in_all, done, failed)
    started = time.perf_counter()
    factory = partial(start_worker, settings.checkpoint, settings.side_px)
    for outcome in engine.run_tasks(factory, tasks, settings.placement, progress.announce):
        done += outcome.frames
        if outcome.problem:
            problems[outcome.dataset][outcome.video] = outcome.problem
            failed += outcome.frames
        else:
            evaluation.frames += outcome.frames
        evaluation.busy_seconds += outcome.busy_seconds
        evaluation.idle_seconds += outcome.idle_seconds
        progress.update(in_all, done, failed)
    evaluation.seconds = time.perf_counter() - started
    shutil.rmtree(unfinished_folder(settings.output), ignore_errors=True)


def _score(opened: OpenedBenchmark, masks: Path, problems: Mapping[str, str], progress: Progress) -> Result:
    predicted = [name for name, frames in opened.frame_names.items() if has_masks(masks / name, frames)]
    if not predicted:
        return Result(opened.dataset, masks, None, problems)
    progress.announce(f"scoring {opened.dataset.row.title}")
    all_count = all(opened.protocol.counted(video.annotated) for video in opened.dataset.videos)
    scores = score_predictions(
        opened.dataset, masks, opened.protocol, allow_missing=bool(problems) or not all_count
    )  # what cannot be scored is noted with the scores
    return Result(opened.dataset, masks, scores, problems)


def _sha256_of(checkpoint: Path) -> str:
    path = find_network(checkpoint)
    with (path / WEIGHTS_FILE if path.is_dir() else path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
