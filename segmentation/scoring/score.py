"""Scores of predicted masks against the ground truth of a dataset by a protocol."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from pipeline.command.progress import Progress
from pipeline.engine.placement import count_of
from segmentation.errors import PredictionError
from segmentation.scoring.metrics import Statistics, score_frames, statistics
from segmentation.scoring.predicted_masks import MatchedFrame, Matches, PredictionReader, check_size, match_predictions
from segmentation.scoring.protocols import Protocol
from segmentation.scoring.saliency import Saliency, join, score_saliency
from segmentation.videos.datasets import OpenedDataset
from segmentation.videos.trees import Frame, some


@dataclass(frozen=True)
class SequenceScore:
    """Scores of one sequence, frame by frame in the order of time; only frames that count.

    Attributes:
        name: name of the sequence.
        group: class of the sequence; None if the dataset has no classes.
        frames: names of the frames.
        J: region similarity, (t,) in [0, 1].
        F: boundary accuracy, (t,) in [0, 1]; None if the protocol has no F.
        saliency: measures of the soft masks; None if they were not requested.
    """

    name: str
    group: str | None
    frames: tuple[str, ...]
    J: Float64[np.ndarray, " t"]
    F: Float64[np.ndarray, " t"] | None
    saliency: Saliency | None = None

    @property
    def statistics(self) -> dict[str, Statistics]:
        """Mean, recall and decay of each measure."""
        return {"J": statistics(self.J)} | ({} if self.F is None else {"F": statistics(self.F)})


@dataclass(frozen=True)
class Scores:
    """Scores of the predictions for a dataset.

    Attributes:
        protocol: protocol of the scores.
        sequences: scores of the sequences in the order of the dataset, without those in which no frame counts.
        notes: sentences on frames and sequences that were left out; empty if there are none.
        missing: number of frames that count but have no prediction.
    """

    protocol: Protocol
    sequences: tuple[SequenceScore, ...]
    notes: tuple[str, ...]
    missing: int = 0

    @property
    def mean(self) -> dict[str, Statistics]:
        """Mean over sequences of the statistics of each measure."""
        return _mean([sequence.statistics for sequence in self.sequences])

    @property
    def classes(self) -> dict[str, dict[str, Statistics]]:
        """Mean over the sequences of each class; empty if the protocol has no classes."""
        if not self.protocol.has_classes:
            return {}
        groups = sorted({sequence.group or "" for sequence in self.sequences})
        return {g: _mean([s.statistics for s in self.sequences if (s.group or "") == g]) for g in groups}

    @property
    def mean_over_classes(self) -> dict[str, Statistics]:
        """Mean over the means of the classes; empty if the protocol has no classes."""
        return _mean(list(self.classes.values()))

    @property
    def saliency(self) -> dict[str, float]:
        """Measures of the soft masks from curves that are averaged over sequences; empty if they were not requested."""
        parts = [sequence.saliency.mean() for sequence in self.sequences if sequence.saliency is not None]
        return join(parts).summary() if parts else {}

    def as_json(self) -> dict[str, Any]:
        """Return the scores as plain values for `json.dump`; they are fractions, not percent."""
        content: dict[str, Any] = {
            "protocol": self.protocol.name,
            "definition": self.protocol.definition,
            "mean": _as_json(self.mean) | self.saliency,
            "sequences": {
                sequence.name: {
                    "frames": len(sequence.frames),
                    **_as_json(sequence.statistics),
                    **({} if sequence.saliency is None else sequence.saliency.summary()),
                    "per_frame": {
                        "frame": list(sequence.frames),
                        "J": sequence.J.tolist(),
                        **({} if sequence.F is None else {"F": sequence.F.tolist()}),
                    },
                }
                for sequence in self.sequences
            },
            "notes": list(self.notes),
        }
        if self.protocol.has_classes:
            content["classes"] = {name: _as_json(mean) for name, mean in self.classes.items()}
            content["mean over classes"] = _as_json(self.mean_over_classes)
        return content


def score_predictions(
    dataset: OpenedDataset,
    predictions: Path,
    protocol: Protocol,
    *,
    threshold: float = 0.5,
    with_saliency: bool = False,
    allow_missing: bool = False,
    progress: Progress | None = None,
) -> Scores:
    """Score a folder of predicted masks.

    Args:
        dataset: dataset with ground truth.
        predictions: folder with one folder per video of images per frame: 0/1, 0/255, palette, or soft grey levels.
        protocol: protocol of the dataset.
        threshold: levels of at least this share of 255 are object.
        with_saliency: whether to measure MAE, F-beta, S- and E-measure of the soft masks on the same frames.
        allow_missing: whether to score the frames that are predicted, instead of refusing missing and surplus
            predictions; missing frames are left out of all means, and noted.
        progress: is told how many frames are scored; None = nobody is.

    Raises:
        SegmentationError: a prediction is missing, surplus or unreadable, or nothing can be scored.
    """
    counted = {video.name: protocol.counted(video.annotated) for video in dataset.videos}
    if protocol.leaves_out_ends and not any(counted.values()):
        raise PredictionError(
            f"no video of {dataset.row.title} in {dataset.root} has more than two annotated frames, and the protocol "
            f"{protocol.name} leaves out the first and the last of each; nothing can be scored"
        )
    matches = match_predictions(dataset, counted, predictions)
    problems = _truth_problems(dataset, counted) + _prediction_problems(matches, sum(map(len, counted.values())))
    if problems and not allow_missing:
        raise PredictionError(f"{'; '.join(problems)}; to score what there is, pass --allow-missing")
    tasks = [(video.name, matched) for video in dataset.videos for matched in matches.frames[video.name]]
    if not tasks:
        raise PredictionError(f"no frame of {dataset.row.title} in {dataset.root} has both ground truth and prediction")
    reader = PredictionReader((matched.prediction for _, matched in tasks), threshold)

    def score(task: tuple[str, MatchedFrame]) -> _FrameScore | None:
        return _score_frame(dataset, reader, protocol, task[1], with_saliency)

    scores: dict[str, list[_FrameScore]] = {name: [] for name, _ in tasks}
    workers = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="score")
    try:
        for done, ((video, _), scored) in enumerate(zip(tasks, workers.map(score, tasks), strict=True), 1):
            if scored is not None:
                scores[video].append(scored)
            if progress is not None:
                progress.update(len(tasks), done, 0)
    finally:
        workers.shutdown(cancel_futures=True)
    sequences = [_sequence(v.name, v.group, scores[v.name], protocol) for v in dataset.videos if v.name in scores]
    if not any(sequence.frames for sequence in sequences):
        raise PredictionError(f"no frame that was predicted has an object in the ground truth of {dataset.root}")
    left_out = [sequence.name for sequence in sequences if not sequence.frames]
    if left_out:
        problems.append(f"left out, since no frame has an object in the ground truth: {some(left_out)}")
    with_frames = tuple(sequence for sequence in sequences if sequence.frames)
    return Scores(protocol, with_frames, tuple(problems), len(matches.missing))


@dataclass(frozen=True, slots=True)
class _FrameScore:
    name: str
    J: float
    F: float
    saliency: Saliency | None


def _score_frame(
    dataset: OpenedDataset, reader: PredictionReader, protocol: Protocol, matched: MatchedFrame, with_saliency: bool
) -> _FrameScore | None:
    """Score one frame; return None if it does not count."""
    truth = dataset.read_mask(matched.frame)
    levels = reader.read(matched.prediction)
    check_size(levels, truth, matched.prediction)
    if protocol.skips_empty_truth and not truth.any():
        return None
    found = reader.threshold(levels)
    region, contour = score_frames(found[None], truth[None], with_boundaries=protocol.with_boundaries)
    saliency = score_saliency(levels[None], truth[None]) if with_saliency else None
    return _FrameScore(matched.frame.name, float(region[0]), float(contour[0]), saliency)


def _sequence(name: str, group: str | None, frames: Sequence[_FrameScore], protocol: Protocol) -> SequenceScore:
    return SequenceScore(
        name,
        group,
        tuple(frame.name for frame in frames),
        np.array([frame.J for frame in frames], np.float64),
        np.array([frame.F for frame in frames], np.float64) if protocol.with_boundaries else None,
        join(parts) if (parts := [frame.saliency for frame in frames if frame.saliency is not None]) else None,
    )


def _truth_problems(dataset: OpenedDataset, counted: dict[str, Sequence[Frame]]) -> list[str]:
    """List the sequences that cannot be scored because they have no ground truth."""
    problems = [f"{name}: {why}" for name, why in dataset.problems.items() if name not in counted]
    unannotated = [name for name, frames in counted.items() if not frames]
    if unannotated:
        problems.append(f"no ground truth that counts in {count_of(len(unannotated), 'sequence')}: {some(unannotated)}")
    return problems


def _prediction_problems(matches: Matches, frames: int) -> list[str]:
    """List the predictions that are missing among those of all frames that count, and those that belong to no frame."""
    problems = []
    if matches.missing:
        are = "is" if len(matches.missing) == 1 else "are"
        problems.append(f"{len(matches.missing)} of {frames} predictions {are} missing: {some(matches.missing)}")
    if matches.surplus:
        belong = "belongs" if len(matches.surplus) == 1 else "belong"
        problems.append(f"{count_of(len(matches.surplus), 'prediction')} {belong} to no frame: {some(matches.surplus)}")
    return problems


def _mean(per_sequence: Sequence[dict[str, Statistics]]) -> dict[str, Statistics]:
    if not per_sequence:
        return {}
    return {
        measure: Statistics(
            *(
                float(np.mean([getattr(sequence[measure], name) for sequence in per_sequence]))
                for name in ("mean", "recall", "decay")
            )
        )
        for measure in per_sequence[0]
    }


def _as_json(measures: dict[str, Statistics]) -> dict[str, Any]:
    content: dict[str, Any] = {measure: asdict(values) for measure, values in measures.items()}
    if "F" in measures:
        content["J&F"] = (measures["J"].mean + measures["F"].mean) / 2
    return content
