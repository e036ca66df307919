"""Reading of single clips: a photo and the frames after it under one motion, cut to what all frames show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.dataset.sample_reader import SampleReader
from pipeline.dataset.schema import decode_flow
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError

VISIBLE = 0
"""Value in `occlusion` of a pixel that is seen in the next frame."""


@dataclass(frozen=True, eq=False)
class StoredClip:
    """The t frames of a photo under one motion, or a part of them; step i leads from frame i to frame i + 1.

    Attributes:
        id: id of the photo.
        images: (t, h, w, 3) uint8 RGB.
        labels: (t, h, w) uint8: 0 = background, i = object i, 255 = nothing of the photo.
        flow_px: (t-1, h, w, 2) float32 pixels, u to the right and v down; NaN where unknown.
        is_visible: (t-1, h, w) bool: the pixel of the frame before the step is seen in the frame after it.
    """

    id: str
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    flow_px: NDArray[np.float32]
    is_visible: NDArray[np.bool_]

    @property
    def has_flow(self) -> NDArray[np.bool_]:
        """Where the flow is known, (t-1, h, w)."""
        return np.isfinite(self.flow_px[..., 0]) & np.isfinite(self.flow_px[..., 1])

    def cut(self, rows: slice, columns: slice) -> StoredClip:
        """Return a part of every frame; what moves out of the part is not visible in the next frame."""
        part = (slice(None), rows, columns)
        flow_px = self.flow_px[part]
        height, width = flow_px.shape[1:3]
        # A target beyond the last pixel's border lies in the next pixel, as when the frames were rendered.
        with np.errstate(invalid="ignore"):  # NaN compares as False
            column = flow_px[..., 0] + np.arange(width, dtype=np.float32)
            row = flow_px[..., 1] + np.arange(height, dtype=np.float32)[:, None]
            stays = (column >= -0.5) & (column < width - 0.5) & (row >= -0.5) & (row < height - 0.5)
        return StoredClip(self.id, self.images[part], self.labels[part], flow_px, self.is_visible[part] & stays)


class ClipReader:
    """Reads the clips of a dataset of `pipeline run --frames`, each by its own chunks.

    Args:
        store: a dataset with frames.

    Raises:
        PipelineError: the dataset holds single photos.
    """

    def __init__(self, store: DatasetStore) -> None:
        refuse_single_photos(store)
        self._layout = store.layout
        self._reader = SampleReader(store)
        self._ids, self._sizes, self._windows = (store.read(name, slice(None)) for name in ("id", "size", "window"))

    def read(self, row: int, motion: int, cut_to_window: bool = True) -> StoredClip:
        """Read one clip.

        Args:
            row: number of the photo's row.
            motion: number of the motion.
            cut_to_window: whether to return only the part in which all frames show nothing but the photo, where the
                motion allows it.

        Raises:
            PipelineError: a shard is missing or damaged.
        """
        (clip,) = self.read_row(row, (motion,), cut_to_window)
        return clip

    def read_row(self, row: int, motions: tuple[int, ...], cut_to_window: bool = True) -> list[StoredClip]:
        """Read several clips of one photo, whose chunks are read once; see `read`."""
        image, next_images, next_labels, flow, occlusion = (
            self._reader.read(name, [row])[0] for name in ("image", "next_image", "next_labels", "flow", "occlusion")
        )
        later = self._reader.read("later_flow", [row])[0] if self._layout.frames > 2 else None
        if self._layout.objects == 1:
            labels = (self._reader.read("mask", [row])[0] > 0).astype(np.uint8)
        else:
            labels = self._reader.read("labels", [row])[0]
        height, width = map(int, self._sizes[row])
        clips = []
        for motion in motions:
            steps = flow[motion][None] if later is None else np.concatenate([flow[motion][None], later[motion]])
            whole = StoredClip(
                id=str(self._ids[row]),
                images=np.concatenate([image[None], next_images[motion]])[:, :height, :width],
                labels=np.concatenate([labels[None], next_labels[motion]])[:, :height, :width],
                flow_px=decode_flow(steps[:, :height, :width]),
                is_visible=occlusion[motion, :, :height, :width] == VISIBLE,
            )
            top, bottom, left, right = map(int, self._windows[row, motion]) if cut_to_window else (0, height, 0, width)
            clips.append(whole.cut(slice(top, bottom), slice(left, right)))
        return clips


def refuse_single_photos(store: DatasetStore) -> None:
    """Raise if a dataset has no frames after its photos.

    Raises:
        PipelineError: it has none.
    """
    if store.layout.frames == 1:
        raise PipelineError(
            f"{store.name} holds single photos, and pairs of frames are needed. Make a dataset with them from the same "
            "photos: `pipeline run --frames 2 --input PHOTOS --output NEW.zarr`."
        )
