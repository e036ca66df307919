"""Pairs and clips as datasets of PyTorch, for the training of optical flow and of video models."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from pipeline.dataset.schema import SHOWS_NOTHING
from pipeline.dataset.store import DatasetStore
from pipeline.dataset.stored_clips import ClipReader, StoredClip, refuse_single_photos
from pipeline.errors import PipelineError


class ClipDataset(Dataset[dict[str, Any]]):
    """Clips of a dataset made by `pipeline run --frames T`. A clip is a photo and the T - 1 frames that follow it.

    An item is a dict of:

    - `id`: id of the photo.
    - `images`: (T, 3, h, w) uint8 RGB.
    - `flow`: (T-1, 2, h, w) float32 pixels from each frame to the next, u to the right and v down; 0 where not valid.
    - `valid`: (T-1, h, w) bool: the flow is known. Pixels that become hidden or leave the picture are valid.
    - `occluded`: (T-1, h, w) bool: the pixel is valid but not seen in the next frame: something hides it, or it leaves.
    - `labels`: (T, h, w) uint8: 0 = background, i = object i, 255 = nothing of the photo.

    Items can be read in any order and by the workers of a DataLoader, which open the dataset for themselves.

    Args:
        url: folder or URL of the dataset.
        crop: height and width of a random part that is cut out of each item, so that items make batches; smaller items
            are padded with pixels that are not valid. None = items keep their sizes.
        seed: seed of the places of the crops, which depend on nothing else but the epoch and the item's number.
        cut_to_window: whether items are limited to the part in which all frames show nothing but the photo, where the
            motion allows it.
        photos: folder or URL of the photos of a dataset that was published without images.

    Raises:
        PipelineError: there is no dataset, or it is unfinished, holds single photos, has no usable sample, or needs
            photos that were not given.
    """

    def __init__(
        self,
        url: str,
        *,
        crop: tuple[int, int] | None = None,
        seed: int = 0,
        cut_to_window: bool = True,
        photos: str | None = None,
    ) -> None:
        if crop is not None and min(crop) < 1:
            raise ValueError(f"crop is {crop}; expected a height and a width of at least 1")
        self.url, self.crop, self.seed, self.cut_to_window, self.epoch = url, crop, seed, cut_to_window, 0
        self.photos = photos
        store = DatasetStore.open(url, photos)
        refuse_single_photos(store)
        store.refuse_missing_photos()
        if missing := store.layout.shard_count - len(store.committed()):
            raise PipelineError(
                f"{url} is unfinished: {missing} of {store.layout.shard_count} shards are missing. Finish it by the "
                "command that began it."
            )
        self._motions, self._steps, self._rows = store.layout.motions, store.layout.frames - 1, store.usable_rows()
        if len(self._rows) == 0:
            raise PipelineError(f"{url} has no usable sample. See `pipeline status --failures` for the reasons.")
        self._reader: ClipReader | None = None
        self._reading_process = 0

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the opened files, which every process opens for itself."""
        return {**self.__dict__, "_reader": None}

    def set_epoch(self, epoch: int) -> None:
        """Draw the places of crops anew for an epoch; call it before iterating over a DataLoader."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._rows) * self._motions

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Read one clip.

        Raises:
            IndexError: there are fewer clips.
            PipelineError: the dataset is damaged or cannot be read.
        """
        index = self._checked(index)
        return _tensors(self._read_clip(index, index))

    def _checked(self, index: int) -> int:
        """Return a number from 0 on; a negative one counts from the end."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.url} has {len(self)} items, numbered from 0; there is no item {index}")
        return index % len(self)

    def _read_clip(self, number: int, index: int) -> StoredClip:
        """Read a clip and cut out the crop of an item."""
        if self._reader is None or self._reading_process != os.getpid():  # a forked process shares no session
            store = DatasetStore.open(self.url, self.photos)
            self._reader, self._reading_process = ClipReader(store), os.getpid()
        place, motion = divmod(number, self._motions)
        clip = self._reader.read(int(self._rows[place]), motion, self.cut_to_window)
        if self.crop is None:
            return clip
        return _crop(clip, self.crop, np.random.default_rng([self.seed, self.epoch, index]))


class PairDataset(ClipDataset):
    """The pairs of neighbouring frames of a dataset of `pipeline run --frames T`, for the training of optical flow.

    There are T - 1 pairs for each photo and motion. An item is a dict of:

    - `id`: id of the photo.
    - `image1`, `image2`: (3, h, w) uint8 RGB.
    - `flow`: (2, h, w) float32 pixels from the first image to the second, u to the right and v down; 0 where not valid.
    - `valid`: (h, w) bool: the flow is known. Pixels that become hidden or leave the picture are valid.
    - `occluded`: (h, w) bool: the pixel is valid but not seen in the second image: something hides it, or it leaves.
    - `labels`: (h, w) uint8, of the first image: 0 = background, i = object i, 255 = nothing of the photo.

    The arguments and errors are those of `ClipDataset`.
    """

    def __len__(self) -> int:
        return super().__len__() * self._steps

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Read one pair.

        Raises:
            IndexError: there are fewer pairs.
            PipelineError: the dataset is damaged or cannot be read.
        """
        index = self._checked(index)
        number, step = divmod(index, self._steps)
        clip = _tensors(self._read_clip(number, index))
        return {
            "id": clip["id"],
            "image1": clip["images"][step],
            "image2": clip["images"][step + 1],
            **{name: clip[name][step] for name in ("flow", "valid", "occluded", "labels")},
        }


def _crop(clip: StoredClip, size: tuple[int, int], random: np.random.Generator) -> StoredClip:
    """Cut a random part out of a clip, and pad it below and at the right where the clip is smaller."""
    parts, padding = [], []
    for length, wanted in zip(clip.labels.shape[1:], size, strict=True):
        start = int(random.integers(max(length - wanted, 0) + 1))
        parts.append(slice(start, min(start + wanted, length)))
        padding.append((0, max(wanted - length, 0)))
    cut = clip.cut(parts[0], parts[1])
    if not any(after for _, after in padding):
        return cut
    frame = ((0, 0), *padding)
    return StoredClip(
        id=cut.id,
        images=np.pad(cut.images, (*frame, (0, 0))),
        labels=np.pad(cut.labels, frame, constant_values=SHOWS_NOTHING),
        flow_px=np.pad(cut.flow_px, (*frame, (0, 0)), constant_values=np.nan),
        is_visible=np.pad(cut.is_visible, frame),
    )


def _tensors(clip: StoredClip) -> dict[str, Any]:
    valid = clip.has_flow
    arrays: Mapping[str, NDArray[Any]] = {
        "images": np.moveaxis(clip.images, -1, 1),
        "flow": np.moveaxis(np.where(valid[..., None], clip.flow_px, np.float32(0)), -1, 1),
        "valid": valid,
        "occluded": valid & ~clip.is_visible,
        "labels": clip.labels,
    }
    return {"id": clip.id, **{name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}}
