"""The usable samples of a dataset as Python objects, decoded and without padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from flowsim import MotionSample
from pipeline.dataset.schema import decode_flow, decode_inverse_depth, picture_part
from pipeline.dataset.store import DatasetStore


@dataclass(frozen=True, eq=False)
class Frames:
    """The frames after a photo; k counts motions, s the steps from each frame to the next.

    Attributes:
        images: (k, s, h, w, 3) uint8 RGB: the frames that the steps lead to.
        labels: (k, s, h, w) uint8: what they show: 0 = background, i = object i, 255 = nothing of the photo.
        flow_px: (k, s, h, w, 2) float32 pixels, from the frame before each step to the one after it; NaN where unknown.
        backward_flow_px: the same from the frame after each step to the one before it.
        occlusion: (k, s, h, w) uint8, of the pixels of the frame before: 0 = visible after the step, 1 = hidden behind
            something nearer, 2 = outside of the picture or unknown.
        backward_occlusion: the same of the pixels of the frame after; 1 = the step uncovers them.
        windows: (k, 4) int: first row, row after the last, first column and column after the last of the part of the
            picture in which all frames show nothing but the photo, where the motion allows it.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    flow_px: NDArray[np.float32]
    backward_flow_px: NDArray[np.float32]
    occlusion: NDArray[np.uint8]
    backward_occlusion: NDArray[np.uint8]
    windows: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Sample:
    """One photo with its mask, its depth and its flow; h and w are its own size, k counts its motions.

    Attributes:
        id: name of the photo, without its ending.
        image: (h, w, 3) uint8 RGB.
        mask: (h, w) bool, True on the object.
        inverse_depth: (h, w) float32 in [0, 1], 1 = nearest; None where flow was imported.
        flow_px: (k, h, w, 2) float32 pixels, u to the right and v down; NaN where unknown.
        motions: the motions of the first object that made the flow, k of them; empty where flow was imported.
        labels: (h, w) uint8: 0 = background, i = object i that moves on its own.
        frames: the frames after the photo; None in a dataset of single photos.
    """

    id: str
    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    inverse_depth: NDArray[np.float32] | None
    flow_px: NDArray[np.float32]
    motions: tuple[MotionSample, ...]
    labels: NDArray[np.uint8]
    frames: Frames | None = None


class Dataset(Sequence[Sample]):
    """The usable samples of a dataset, in the order of their photos; each is read when it is requested.

    Args:
        store: an existing dataset.
    """

    def __init__(self, store: DatasetStore) -> None:
        self.store = store
        self._rows = store.usable_rows()

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...

    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        """Read one sample, or a list of them.

        Raises:
            IndexError: there are fewer samples.
            PipelineError: the dataset is damaged or cannot be read.
        """
        if isinstance(index, slice):
            return [self._read(int(row)) for row in self._rows[index]]
        return self._read(int(self._rows[index]))

    def _read(self, row: int) -> Sample:
        layout = self.store.layout
        height, width = map(int, self.store.read("size", row))

        def read(name: str) -> NDArray[Any]:
            return self.store.read(name, row)[picture_part(name, height, width)]

        mask = read("mask") > 0
        motions: tuple[MotionSample, ...] = ()
        if layout.is_simulated:
            stored = self.store.read("motion", row)
            motions = tuple(map(MotionSample.from_vector, stored if stored.ndim == 2 else stored[:, 0]))
        flow_px = decode_flow(read("flow"))
        return Sample(
            id=str(self.store.read("id", row)),
            image=read("image"),
            mask=mask,
            inverse_depth=decode_inverse_depth(read("inverse_depth")) if layout.is_simulated else None,
            flow_px=flow_px,
            motions=motions,
            labels=mask.astype(np.uint8) if layout.objects == 1 else read("labels"),
            frames=None if layout.frames == 1 else self._read_frames(row, read, flow_px),
        )

    def _read_frames(self, row: int, read: Callable[[str], NDArray[Any]], first: NDArray[np.float32]) -> Frames:
        """Read the frames of a sample, of which `first` is the flow of the first step."""
        flows = [first[:, None]]
        if self.store.layout.frames > 2:
            flows.append(decode_flow(read("later_flow")))
        return Frames(
            images=read("next_image"),
            labels=read("next_labels"),
            flow_px=np.concatenate(flows, 1),
            backward_flow_px=decode_flow(read("backward_flow")),
            occlusion=read("occlusion"),
            backward_occlusion=read("backward_occlusion"),
            windows=self.store.read("window", row),
        )


def open_dataset(url: str, *, photos: str | None = None) -> Dataset:
    """Open a dataset of photos for reading.

    Args:
        url: folder or URL of the dataset.
        photos: folder or URL of the photos of a dataset that was published without images; flow is read without them.

    Raises:
        PipelineError: there is no dataset, or it is damaged.
    """
    return Dataset(DatasetStore.open(url, photos))
