"""A source read from beginning to end."""

from __future__ import annotations

from segmentation.data.photo_samples import Triplet, TripletSource


def epoch_of(source: TripletSource, epoch: int = 0) -> list[Triplet]:
    """Read all samples of a source in the order of an epoch."""
    return source.read(source.order(epoch).tolist(), epoch)
