"""Several methods on several datasets: their masks, scored by named protocols."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.command.progress import Progress
from pipeline.files.regular_files import read_text
from segmentation.errors import OtherDatasetError, SegmentationError
from segmentation.scoring.predicted_masks import SETTINGS_FILE, match_predictions
from segmentation.scoring.protocols import PROTOCOLS, Protocol, protocol_for
from segmentation.scoring.score import Scores, score_predictions
from segmentation.scoring.settings import BenchmarkSettings
from segmentation.videos.datasets import OpenedDataset, open_dataset

THRESHOLD = 0.5


@dataclass(frozen=True)
class Ground:
    """A dataset with its true masks, and the protocol that it is scored by."""

    protocol: Protocol
    dataset: OpenedDataset


@dataclass(frozen=True)
class Entry:
    """The score of one method by one protocol.

    Attributes:
        method: name of the method.
        masks: folder of its masks.
        protocol: the protocol.
        dataset: title and split of the dataset in words.
        sequences: number of sequences of the dataset at hand.
        flow: what the flow was that the method saw; None if nothing beside the masks says so.
        scores: its scores; None if it cannot be scored.
        problem: the reason why it cannot be scored; empty if it is.
    """

    method: str
    masks: Path
    protocol: Protocol
    dataset: str
    sequences: int
    flow: str | None
    scores: Scores | None = None
    problem: str = ""

    @property
    def frames(self) -> int:
        """Number of scored frames."""
        return 0 if self.scores is None else sum(len(sequence.frames) for sequence in self.scores.sequences)


def contestants(settings: BenchmarkSettings) -> dict[str, Path]:
    """Return name -> folder of the methods.

    Raises:
        SegmentationError: a method has no name or another one's, or its folder does not exist.
    """
    methods: dict[str, Path] = {}
    for text in settings.methods:
        name, place = _named(text, "method", "MATNet=matnet-masks")
        if name in methods:
            raise SegmentationError(f"two methods are called {name}; give each a name of its own")
        if not Path(place).is_dir():
            raise SegmentationError(f"the folder {place} of {name} does not exist; expected a folder of masks")
        methods[name] = Path(place)
    return methods


def grounds(settings: BenchmarkSettings) -> list[Ground]:
    """Open the datasets.

    Raises:
        SegmentationError: a name is neither that of a dataset nor of a protocol, or a folder is not that dataset.
    """
    found: dict[str, Ground] = {}
    for text in settings.dataset:
        name, place = _named(text, "dataset", "davis16=DAVIS")
        protocol = PROTOCOLS[name] if name in PROTOCOLS else protocol_for(name)
        if protocol.name in found:
            raise SegmentationError(f"the protocol {protocol.name} is given twice; name every dataset once")
        opened = open_dataset(protocol.dataset, Path(place))
        opened.require_videos()
        found[protocol.name] = Ground(protocol, opened)
    return list(found.values())


def run_benchmark(methods: Mapping[str, Path], datasets: Sequence[Ground], progress: Progress) -> list[Entry]:
    """Score every method on every dataset; a method that cannot be scored does not stop the others.

    Frames without a mask are left out of the means, and counted.

    Args:
        methods: name -> folder of masks.
        datasets: the datasets.
        progress: is told how many frames of the method and the dataset at hand are scored.
    """
    return [_score(name, folder, ground, progress) for ground in datasets for name, folder in methods.items()]


def refuse_without_masks(methods: Mapping[str, Path], datasets: Sequence[Ground]) -> None:
    """Refuse a method that has no mask of any frame that is scored, before any method is scored.

    A folder that holds another dataset than it is called is not refused, since the table says so.

    Raises:
        SegmentationError: a method has none.
    """
    for name, folder in methods.items():
        problems = [_why_without_masks(folder, ground) for ground in datasets]
        if all(problems):
            raise SegmentationError(f"{name}: {'; '.join(dict.fromkeys(problems))}")


def _why_without_masks(folder: Path, ground: Ground) -> str:
    """Return why no frame of a dataset has a mask; empty if one has, or if the masks are another dataset's."""
    dataset, masks = ground.dataset, _masks_in(folder, ground)
    counted = {video.name: ground.protocol.counted(video.annotated) for video in dataset.videos}
    try:
        matches = match_predictions(dataset, counted, masks)
    except OtherDatasetError:
        return ""
    except SegmentationError as problem:
        return str(problem)
    if any(matches.frames.values()) or not matches.missing:
        return ""
    return (
        f"{masks} holds a mask of none of the {len(matches.missing)} frames that {ground.protocol.name} scores; "
        f"expected masks named as {matches.missing[0]}.png"
    )


def _masks_in(folder: Path, ground: Ground) -> Path:
    """Return the folder of the masks of a dataset: that of its name, if a method has one for each dataset."""
    own = folder / ground.dataset.row.name
    return own if own.is_dir() else folder


def _score(method: str, folder: Path, ground: Ground, progress: Progress) -> Entry:
    dataset, protocol = ground.dataset, ground.protocol
    masks = _masks_in(folder, ground)
    words = f"{dataset.row.title} {dataset.split}" if dataset.split else dataset.row.title
    videos = [video.name for video in dataset.videos]
    flow = _flow_of(masks, videos)
    progress.announce(f"{method}: {protocol.name}")
    try:
        scores = score_predictions(dataset, masks, protocol, threshold=THRESHOLD, allow_missing=True, progress=progress)
    except SegmentationError as problem:
        return Entry(method, masks, protocol, words, len(videos), flow, problem=str(problem))
    return Entry(method, masks, protocol, words, len(videos), flow, scores)


def _flow_of(masks: Path, videos: Sequence[str]) -> str | None:
    """Return what `segmentation evaluate` or `predict` wrote beside the masks about their flow."""
    for path in (masks / SETTINGS_FILE, *(masks / video / "about.json" for video in videos)):
        try:
            flow = json.loads(read_text(path))["flow"]
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            continue
        if isinstance(flow, str):
            return flow
    return None


def _named(text: str, what: str, example: str) -> tuple[str, str]:
    name, _, place = text.partition("=")
    if not name or not place:
        raise SegmentationError(f"{text!r} names no {what} with its folder; expected NAME=FOLDER, such as {example}")
    return name, place
