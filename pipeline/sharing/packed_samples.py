"""Samples as the few files and values that a record of a WebDataset shard or a row of Parquet holds.

Photos and frames are JPEG; masks, flow and depth lose nothing of what the dataset stores.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.dataset import schema
from pipeline.dataset.store import DatasetStore
from pipeline.dataset.stored_clips import ClipReader, StoredClip
from pipeline.files.ids import shown
from pipeline.files.pictures import mask_png, photo_jpeg

_OBJECT = 255


@dataclass(frozen=True, eq=False)
class PackedSample:
    """One sample: a photo under one motion, or the clip that the motion makes of it.

    Attributes:
        values: `id`, `row`, `motion_index`, `height` and `width`.
        frames: the photo and the frames after it, JPEG.
        mask: mask of the photo, PNG of 0 and 255.
        arrays: NPZ file. Of a photo: `flow_px` (h, w, 2) float32, NaN where unknown, and `inverse_depth` (h, w)
            float32 unless flow was imported. Of a clip of t frames: `flow_px` (t-1, h, w, 2), `is_visible` (t-1, h, w)
            bool, and `labels` (t, h, w) uint8.
    """

    values: dict[str, Any]
    frames: tuple[bytes, ...]
    mask: bytes
    arrays: bytes


class SamplePacker:
    """Packs the samples of a dataset, a few rows at a time.

    Args:
        store: a complete dataset.
    """

    def __init__(self, store: DatasetStore) -> None:
        self._store, self._motions = store, store.layout.motions
        self._clips = ClipReader(store) if store.layout.frames > 1 else None
        self._ids, self._sizes = (store.read(name, slice(None)) for name in ("id", "size"))

    def pack(self, rows: Sequence[int]) -> Iterator[PackedSample]:
        """Yield the samples of some usable rows, each under all its motions, in order."""
        for row in rows:
            yield from self._pack_photo(row) if self._clips is None else self._pack_clips(self._clips, row)

    def _pack_photo(self, row: int) -> Iterator[PackedSample]:
        height, width = map(int, self._sizes[row])
        inside = slice(height), slice(width)
        photo, mask = (self._store.read(name, row)[inside] for name in ("image", "mask"))
        flows = self._store.read("flow", row)[:, :height, :width]
        depth = {}
        if self._store.layout.is_simulated:
            depth["inverse_depth"] = schema.decode_inverse_depth(self._store.read("inverse_depth", row)[inside])
        frame, outline = photo_jpeg(photo), mask_png(mask)
        for motion, steps in enumerate(flows):
            arrays = {"flow_px": schema.decode_flow(steps), **depth}
            yield PackedSample(self._values(row, motion, height, width), (frame,), outline, _npz(arrays))

    def _pack_clips(self, reader: ClipReader, row: int) -> Iterator[PackedSample]:
        for motion, clip in enumerate(reader.read_row(row, tuple(range(self._motions)))):
            height, width = clip.labels.shape[1:]
            yield PackedSample(
                self._values(row, motion, height, width),
                tuple(photo_jpeg(image) for image in clip.images),
                mask_png(_mask(clip)),
                _npz({"flow_px": clip.flow_px, "is_visible": clip.is_visible, "labels": clip.labels}),
            )

    def _values(self, row: int, motion: int, height: int, width: int) -> dict[str, Any]:
        return {"id": shown(str(self._ids[row])), "row": row, "motion_index": motion, "height": height, "width": width}


def _mask(clip: StoredClip) -> NDArray[np.uint8]:
    is_object = (clip.labels[0] > 0) & (clip.labels[0] != schema.SHOWS_NOTHING)
    return np.where(is_object, np.uint8(_OBJECT), np.uint8(0))


def _npz(arrays: dict[str, NDArray[Any]]) -> bytes:
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
    return content.getvalue()
