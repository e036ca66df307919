"""The videos that flow is estimated for: those of a dataset, or a user's own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from segmentation.errors import DatasetError
from segmentation.flow.settings import FlowCommandSettings
from segmentation.videos.datasets import ALL, OpenedDataset, Sequences, open_dataset
from segmentation.videos.footage import Footage, ImageFiles, open_footage
from segmentation.videos.table import DATASETS


@dataclass(frozen=True)
class Clip:
    """A video whose flow is to be estimated.

    Attributes:
        name: name of the video, under which its flow is stored.
        footage: its frames.
        origin: dataset and licence, or path of the file; stored among the attributes of the flow.
        pictures: folder of the video's flow pictures in a tree of the published code.
        chosen: numbers of the only frames whose flow is wanted, in the order of time; None = all frames.
    """

    name: str
    footage: Footage
    origin: Mapping[str, str]
    pictures: str
    chosen: tuple[int, ...] | None = None

    def only(self, frames: Collection[str]) -> Clip:
        """Return the video with the flow of some frames wanted, given by their names."""
        chosen = tuple(number for number, name in enumerate(self.footage.names) if name in frames)
        return self if len(chosen) == len(self.footage.names) else replace(self, chosen=chosen)

    @property
    def wanted(self) -> Sequence[int]:
        """Numbers of the frames whose flow is wanted."""
        return range(len(self.footage.names)) if self.chosen is None else self.chosen


def clips_for(settings: FlowCommandSettings) -> tuple[list[Clip], dict[str, str]]:
    """Find the videos that the settings of `segmentation flows` name.

    Returns:
        The videos of which all frames exist, and the problems of the others by name of the video.

    Raises:
        SegmentationError: the video or the dataset cannot be read, or a chosen name is not in it.
    """
    if settings.dataset is None or settings.root is None:
        return [clip_of(settings.video or Path())], {}
    return clips_of(settings.dataset, settings.root, settings.split, Sequences.parse(settings.sequences))


def clips_of(name: str, root: Path, split: str | None, sequences: Sequences = ALL) -> tuple[list[Clip], dict[str, str]]:
    """Find the videos of a dataset.

    Args:
        name: name of the dataset.
        root: folder of the dataset.
        split: one of its splits; None = every split that is there.
        sequences: the videos to choose.

    Returns:
        The videos of which all frames exist, and the problems of the others by name of the video.

    Raises:
        DatasetError: the folder is not that dataset, or a chosen name is not in it.
    """
    opened = _opened(name, root, split)
    sequences.check(frozenset().union(*(dataset.names for dataset in opened)), str(root))
    clips: dict[str, Clip] = {}
    problems: dict[str, str] = {}
    for dataset in opened:
        some, wrong = clips_in(dataset.only(sequences))
        clips |= {clip.name: clip for clip in some}
        problems |= wrong
    return list(clips.values()), problems


def clips_in(dataset: OpenedDataset) -> tuple[list[Clip], dict[str, str]]:
    """Return the videos of a dataset of which all frames exist, and the problems of the others by name of the video."""
    origin = {"dataset": dataset.row.title, "licence": dataset.row.licence}
    clips = []
    for video in dataset.videos:
        if video.name not in dataset.problems:
            paths = tuple(frame.image for frame in video.frames if frame.image is not None)
            folder = dataset.flow_pictures[0].replace("{video}", video.name)
            clips.append(Clip(video.name, ImageFiles(paths), origin, folder))
    return clips, dict(dataset.problems)


def clip_of(path: Path) -> Clip:
    """Return a user's own video, a container or a folder of frames, under the name of its file or folder.

    Raises:
        FlowError: it is neither, or damaged.
    """
    name = path.resolve().stem if path.is_file() else path.resolve().name
    return Clip(name, open_footage(path), {"source": str(path)}, f"JPEGFlows/{name}")


def _opened(name: str, root: Path, split: str | None) -> list[OpenedDataset]:
    """Open one split of a dataset; None opens every split of which there are videos."""
    splits: list[str | None] = list(DATASETS[name].splits) if name in DATASETS and split is None else []
    found, absent = [], None
    for each in splits or [split]:
        try:
            found.append(open_dataset(name, root, each))
        except DatasetError as problem:
            absent = absent or problem
    if not found and absent:
        raise absent
    return found
