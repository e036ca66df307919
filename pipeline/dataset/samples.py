"""The usable samples of a dataset as Python objects, decoded and without padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from flowsim import MotionSample
from pipeline.dataset.schema import decode_flow, decode_inverse_depth
from pipeline.dataset.store import DatasetStore


@dataclass(frozen=True, eq=False)
class Sample:
    """One photo with its mask, its depth and its flow; h and w are its own size, k counts its motions.

    Attributes:
        id: name of the photo, without its ending.
        image: (h, w, 3) uint8 RGB.
        mask: (h, w) bool, True on the object.
        inverse_depth: (h, w) float32 in [0, 1], 1 = nearest; None where flow was imported.
        flow_px: (k, h, w, 2) float32 pixels, u to the right and v down; NaN where unknown.
        motions: the k motions that made the flow; empty where flow was imported.
    """

    id: str
    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    inverse_depth: NDArray[np.float32] | None
    flow_px: NDArray[np.float32]
    motions: tuple[MotionSample, ...]


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
        read, is_simulated = self.store.read, self.store.layout.is_simulated
        height, width = read("size", row)
        return Sample(
            str(read("id", row)),
            read("image", row)[:height, :width],
            read("mask", row)[:height, :width] > 0,
            decode_inverse_depth(read("inverse_depth", row)[:height, :width]) if is_simulated else None,
            decode_flow(read("flow", row)[:, :height, :width]),
            tuple(map(MotionSample.from_vector, read("motion", row))) if is_simulated else (),
        )


def open_dataset(url: str) -> Dataset:
    """Open a dataset of photos for reading.

    Args:
        url: folder or URL of the dataset.

    Raises:
        PipelineError: there is no dataset, or it is damaged.
    """
    return Dataset(DatasetStore.open(url))
