"""Triplets from the annotated frames of a video dataset and their flow."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64

from pipeline.errors import UnusablePhoto
from pipeline.files.regular_files import read_file
from pipeline.photos.decoding import decode_photo
from segmentation.data.photo_samples import Triplet, TripletSource
from segmentation.errors import DatasetError, MaskError
from segmentation.flow.frame_flows import FlowOrigin, note_on_sizes, open_flows
from segmentation.flow.jpeg_trees import vectors_of
from segmentation.videos.datasets import OpenedDataset, Video, open_dataset
from segmentation.videos.trees import Frame


class VideoFrames(TripletSource):
    """The annotated frames of the videos of a dataset, in random order; or of one video, in the order of time.

    Args:
        dataset: name of the dataset, as in `segmentation datasets`.
        root: folder of the dataset.
        flows: store of `segmentation flows` (folder or URL), or folder with the `JPEGFlows` tree of the published code.
        split: split of the dataset; None = the one that is scored.
        sequences: names of the videos to use; None = all.
        seed: seed of the order.

    Raises:
        DatasetError: the folder is not that dataset or lacks the videos, no frame is annotated, images or flow of a
            video are missing, or the flow belongs to other videos.

    Attributes:
        note: sentence on flow of another size than its image, which is resized to the network's square on its own.
    """

    def __init__(
        self,
        dataset: str,
        root: Path,
        flows: str,
        *,
        split: str | None = "train",
        sequences: Sequence[str] | None = None,
        seed: int = 0,
    ) -> None:
        self._choose(open_dataset(dataset, root, split), flows, sequences, seed)

    @classmethod
    def of(
        cls, opened: OpenedDataset, flows: str, *, sequences: Sequence[str] | None = None, seed: int = 0
    ) -> VideoFrames:
        """Return the annotated frames of a dataset that is open already; arguments and errors as of the class."""
        frames = cls.__new__(cls)
        frames._choose(opened, flows, sequences, seed)
        return frames

    def _choose(self, opened: OpenedDataset, flows: str, sequences: Sequence[str] | None, seed: int) -> None:
        self.seed, self._dataset = seed, opened
        title, place = opened.row.title, f"split {opened.split} of {opened.row.title}"
        known = {video.name: video for video in opened.videos}
        if unknown := [name for name in sequences or () if name not in known]:
            if problem := opened.problems.get(unknown[0]):
                raise DatasetError(f"the video {unknown[0]} of {title} cannot be used: {problem}")
            raise DatasetError(f"{opened.root} has no video {unknown[0]} in {place}")
        videos = known.values() if sequences is None else [known[name] for name in sequences]
        self._videos = {video.name: video for video in videos if video.annotated}
        for name in self._videos:
            if problem := opened.problems.get(name):
                raise DatasetError(f"the video {name} of {title} cannot be used: {problem}")
        if not self._videos:
            raise DatasetError(f"{opened.root} has no annotated frame in {place}")
        self._flows = open_flows(flows, opened)
        self.is_flow_in_px = self._flows.is_in_px
        self.has_flow_pictures = not self._flows.is_in_px
        for video in self._videos.values():
            self._flows.check(video)
        self._count()

    def only(self, sequences: Sequence[str]) -> VideoFrames:
        """Return the samples of some of the videos; nothing is opened or checked again."""
        part = copy.copy(self)
        part._videos = {name: self._videos[name] for name in sequences}
        part._count()
        return part

    def _count(self) -> None:
        self._frames = [(video, frame) for video in self._videos.values() for frame in video.annotated]
        self.samples = len(self._frames)
        self.note = note_on_sizes(self._flows, self._videos.values())

    @property
    def sequences(self) -> tuple[str, ...]:
        """Names of all videos of the source."""
        return tuple(self._videos)

    @property
    def flow_origins(self) -> tuple[FlowOrigin, ...]:
        """Origin of the flow of each video, where it is known."""
        origins = (self._flows.origin(name) for name in self._videos)
        return tuple(origin for origin in origins if origin is not None)

    def order(self, epoch: int) -> Int64[np.ndarray, " n"]:
        """Return the numbers of all frames in the order of an epoch."""
        return np.random.default_rng([self.seed, epoch]).permutation(self.samples)

    def draw(self, count: int, random: np.random.Generator) -> Int64[np.ndarray, " n"]:
        """Draw the numbers of `count` frames with replacement: first a video, then one of its frames."""
        lengths = np.array([len(video.annotated) for video in self._videos.values()])
        videos = random.integers(len(lengths), size=count)
        starts = np.cumsum(lengths) - lengths
        numbers: Int64[np.ndarray, " n"] = starts[videos] + random.integers(lengths[videos])
        return numbers

    def read(self, numbers: Sequence[int], epoch: int) -> list[Triplet]:
        """Read frames, which are the same in every epoch.

        Raises:
            DatasetError: an image, a mask or a flow is damaged, or they do not fit each other.
        """
        return [self._read(*self._frames[number]) for number in numbers]

    def sequence(self, name: str) -> Iterator[Triplet]:
        """Yield the annotated frames of one video in the order of time.

        Raises:
            DatasetError: there is no such video, or a frame cannot be used.
        """
        if name not in self._videos:
            raise DatasetError(f"{name} is none of the videos {', '.join(self._videos)}")
        video = self._videos[name]
        return (self._read(video, frame) for frame in video.annotated)

    def _read(self, video: Video, frame: Frame) -> Triplet:
        assert frame.image is not None  # otherwise the video would have a problem
        try:
            image = np.require(decode_photo(read_file(frame.image)), requirements="W")  # torch wants it writable
            mask = self._dataset.read_mask(frame, allow_soft=False)
        except (UnusablePhoto, MaskError, OSError) as error:
            raise DatasetError(f"frame {frame.name} of {video.name} cannot be used: {error}") from error
        colors = self._flows.read_colors(video.name, frame.name) if self.has_flow_pictures else None
        flow_px = self._flows.read(video.name, frame.name) if colors is None else vectors_of(colors)
        if mask.shape != image.shape[:2]:
            raise DatasetError(
                f"the mask of frame {frame.name} of {video.name} is {mask.shape[1]}x{mask.shape[0]}, its image "
                f"{image.shape[1]}x{image.shape[0]}; expected one size"
            )
        pixels, flow, labels = (torch.from_numpy(array) for array in (image, flow_px, mask.astype(np.uint8)))
        flow_rgb = None if colors is None else torch.from_numpy(np.require(colors, requirements="W"))
        return Triplet(f"{video.name}/{frame.name}", pixels, flow, labels, flow_rgb)
