"""What a run learns from and what it is judged by, opened from the settings' words."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from torch.utils.data import IterableDataset

from segmentation.datasets import ShardDataset, Triplet
from segmentation.errors import TrainingError
from segmentation.training_settings import TrainingSettings
from segmentation.validation import Labelled

HELD_OUT_ONE_IN = 20
MOST_HELD_OUT_PHOTOS = 64


class Source(Protocol):
    """What samples come from; iterating makes one pass over this rank's part of the epoch."""

    samples: int

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next iteration is."""

    def __iter__(self) -> Iterator[Triplet]:
        """Yield the samples."""


@dataclass(frozen=True)
class TrainingData:
    """Samples to learn from, and samples to be judged by.

    Attributes:
        source: of all training samples.
        validation: yields the samples of the validation, each with its sequence, always the same.
        validation_name: what they are.
        with_boundaries: F is measured as well as J.
    """

    source: Source
    validation: Callable[[], Iterator[Labelled]]
    validation_name: str
    with_boundaries: bool


class PhotosBut(IterableDataset[Triplet]):
    """The photos of a dataset without those that are held out, or these alone."""

    def __init__(self, photos: ShardDataset, *, held_out: bool) -> None:
        self.photos, self.held_out = photos, held_out
        self.samples = photos.samples

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next iteration is."""
        self.photos.set_epoch(epoch)

    def __iter__(self) -> Iterator[Triplet]:
        for sample in self.photos:
            if is_held_out(sample.id) == self.held_out:
                yield sample


def is_held_out(name: str) -> bool:
    """Tell whether a photo is for validation; the same in every run."""
    return zlib.crc32(name.encode()) % HELD_OUT_ONE_IN == 0


def open_data(settings: TrainingSettings, rank: int = 0, ranks: int = 1) -> TrainingData:
    """Open everything that the settings name.

    Raises:
        SegmentationError: one of the sources cannot be trained on.
    """
    (url,) = settings.data
    photos = ShardDataset(
        url, seed=settings.seed, fresh_motion=settings.flow == "fresh", buffer=64, rank=rank, ranks=ranks
    )
    held_out = PhotosBut(ShardDataset(url, seed=settings.seed, buffer=1), held_out=True)
    cache = _FirstPhotos(held_out)
    return TrainingData(PhotosBut(photos, held_out=False), cache.read, f"{MOST_HELD_OUT_PHOTOS} photos", False)


@dataclass
class _FirstPhotos:
    photos: PhotosBut
    kept: list[Labelled] = field(default_factory=list)

    def read(self) -> Iterator[Labelled]:
        if not self.kept:
            self.kept = [("photos", sample) for sample in itertools.islice(self.photos, MOST_HELD_OUT_PHOTOS)]
            if not self.kept:
                raise TrainingError("no photo is held out for validation: the dataset is too small")
        return iter(self.kept)
