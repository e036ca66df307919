"""Predicted masks: the file of every frame, and object and background in it."""

import math
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

import numpy as np
from jaxtyping import Bool, UInt8

from pipeline.photos.masks import MAX_LABEL
from segmentation.errors import MaskError, OtherDatasetError, PredictionError
from segmentation.videos import mask_files as masks
from segmentation.videos.datasets import OpenedDataset, Video
from segmentation.videos.sequence_names import other_dataset
from segmentation.videos.table import DATASETS
from segmentation.videos.trees import Frame, some

WHITE = 255
SETTINGS_FILE = "settings.json"
"""File beside masks that `segmentation evaluate` predicted: everything that decided them."""


@dataclass(frozen=True)
class MatchedFrame:
    """A frame that counts, and its predicted mask."""

    frame: Frame
    prediction: Path


@dataclass(frozen=True)
class Matches:
    """The frames and their predictions.

    Attributes:
        frames: frames of each video that have a prediction, in the order of time.
        missing: `video/frame` of each frame without a prediction.
        surplus: files and folders of the predictions that belong to no frame of the videos.
    """

    frames: Mapping[str, tuple[MatchedFrame, ...]]
    missing: tuple[str, ...]
    surplus: tuple[str, ...]


def match_predictions(dataset: OpenedDataset, counted: Mapping[str, Sequence[Frame]], root: Path) -> Matches:
    """Find the prediction of every frame that counts: `<root>/<video>/<name of the frame or of its mask>.png`.

    Predictions of frames that do not count, and of videos that are left out, are no surplus.

    Args:
        dataset: the videos.
        counted: frames of each video that count.
        root: folder of the predictions, which may have any image extension.

    Raises:
        PredictionError: the folder does not exist, nothing in it has the name of a video or a frame of the dataset, or
            it holds the sequences of another dataset (`OtherDatasetError`).
    """
    videos = dataset.videos
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise PredictionError(f"the folder of predictions {root} {what}; expected one folder per video in it")
    by_folder: dict[str, list[Path]] = {}
    for folder, _, names in os.walk(root, followlinks=True):
        images = [Path(folder, name) for name in sorted(names) if not name.startswith(".")]
        images = [path for path in images if path.suffix.lower() in masks.EXTENSIONS]
        if images:
            by_folder[Path(folder).relative_to(root).as_posix()] = images
    if {video.name for video in videos} - by_folder.keys():
        _refuse_other_dataset(dataset, root, by_folder)
    if not by_folder.keys() & {video.name for video in videos}:
        raise PredictionError(_nothing_fits(videos, root, by_folder))
    by_folder = {folder: paths for folder, paths in by_folder.items() if folder not in dataset.left_out}
    frames: dict[str, tuple[MatchedFrame, ...]] = {}
    missing: list[str] = []
    surplus: list[str] = []
    for video in videos:
        files = _by_stem(by_folder.pop(video.name, []))
        stems = {frame.name: _names(frame) for frame in video.frames}
        known = set().union(*stems.values())
        if files and not files.keys() & known:
            raise PredictionError(
                f"{root / video.name} holds {next(iter(files.values())).name}, but frames of {video.name} are named as "
                f"{video.frames[0].name}; expected predictions named so"
            )
        matched = []
        for frame in counted[video.name]:
            stem = next((name for name in stems[frame.name] if name in files), None)
            if stem is None:
                missing.append(f"{video.name}/{frame.name}")
            else:
                matched.append(MatchedFrame(frame, files[stem]))
        frames[video.name] = tuple(matched)
        if any(frame.image for frame in video.frames) or len(video.annotated) == len(video.frames):
            surplus += [f"{video.name}/{path.name}" for stem, path in files.items() if stem not in known]
    for folder, paths in sorted(by_folder.items()):
        surplus += [path.name for path in paths] if folder == "." else [folder]
    return Matches(frames, tuple(missing), tuple(surplus))


class PredictionReader:
    """Reads the predicted masks of one folder.

    Grey files hold levels from 0 to 255, or object numbers such as 0 and 1 if no value in any of the files exceeds 15.
    A single file does not decide this, since a soft prediction may be nearly black.

    Args:
        paths: all predictions; they are read until one exceeds 15, usually the first.
        threshold: levels of at least this share of 255 are object, in (0, 1].
    """

    def __init__(self, paths: Iterable[Path], threshold: float) -> None:
        if not 0 < threshold <= 1:
            raise PredictionError(f"--threshold is {threshold}; expected more than 0, at most 1")
        self.lowest_level = math.ceil(threshold * WHITE - 1e-9)  # an integer, so that the comparison stays in 8 bits
        self.holds_levels = any(_exceeds_labels(masks.read_levels(path)) for path in paths)

    def read(self, path: Path) -> UInt8[np.ndarray, "h w"]:
        """Read a mask.

        Returns:
            (h, w) uint8, 255 = surely object; 0 and 255 alone where the file holds numbers.

        Raises:
            MaskError: the file cannot be read, or it holds several objects.
        """
        levels = masks.read_levels(path)
        if levels.colors is None and self.holds_levels:
            return levels.values
        return masks.as_grey(levels, path).astype(np.uint8) * np.uint8(WHITE)

    def threshold(self, levels: UInt8[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
        """Return the object (True) in levels that `read` returned."""
        is_object: Bool[np.ndarray, "h w"] = levels >= self.lowest_level
        return is_object


def check_size(prediction: UInt8[np.ndarray, "_ _"], truth: Bool[np.ndarray, "_ _"], path: Path) -> None:
    """Raise if a prediction has another size than its ground truth.

    Raises:
        MaskError: the sizes differ.
    """
    if prediction.shape != truth.shape:
        sizes = [f"{mask.shape[1]}x{mask.shape[0]}" for mask in (prediction, truth)]
        raise MaskError(
            f"the prediction {path} is {sizes[0]}; expected {sizes[1]}, the size of its ground truth: save the masks "
            "in the size of the frames"
        )


def _exceeds_labels(levels: masks.Levels) -> bool:
    return levels.colors is None and bool(levels.values.max(initial=0) > MAX_LABEL)


def _names(frame: Frame) -> tuple[str, ...]:
    return (frame.name, *(path.stem for path in frame.masks))


def _by_stem(paths: Sequence[Path]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in paths:
        if path.stem in files:
            raise PredictionError(f"{files[path.stem]} and {path.name} are two predictions of one frame; remove one")
        files[path.stem] = path
    return files


def _refuse_other_dataset(dataset: OpenedDataset, root: Path, names: Collection[str]) -> None:
    if other := other_dataset(names, dataset.row.name):
        name, known = other
        raise OtherDatasetError(
            f"{root} holds masks of {DATASETS[name].title} ({some(sorted(known))}), not of {dataset.row.title}; "
            f"expected {some(sorted(video.name for video in dataset.videos))}"
        )


def _nothing_fits(videos: Sequence[Video], root: Path, by_folder: Mapping[str, object]) -> str:
    names = {video.name for video in videos}
    for folder in by_folder:
        for name in names:
            if folder.endswith(f"/{name}"):
                deeper = quote(str(root / folder.removesuffix(name)))
                return f"{root} holds the videos one folder deeper; pass --predictions {deeper}"
    found = f"found {some([*by_folder])}" if by_folder else "found no images"
    return f"no folder in {root} is named as a video of the dataset: {found}; expected {some(sorted(names))}"
