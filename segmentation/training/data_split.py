"""The data of a training run, split into the samples that it learns from and those that it is validated on."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64

from pipeline.dataset.spread import spread
from pipeline.redaction import without_credentials
from segmentation.data.mixture import Mixture
from segmentation.data.photo_samples import ShardDataset, Triplet, TripletSource
from segmentation.data.source_names import PhotoSource, VideoSource
from segmentation.data.video_samples import VideoFrames
from segmentation.errors import TrainingError
from segmentation.flow.frame_flows import require_one_kind
from segmentation.scoring.protocols import protocol_for
from segmentation.training.settings import HELD_OUT, TrainingSettings
from segmentation.videos.datasets import OpenedDataset, Sequences, open_dataset
from segmentation.videos.table import DATASETS

SEQUENCES_SHARE, MOST_SEQUENCES, MOST_FRAMES = 1 / 6, 10, 20
"""Share and largest number of the held-out sequences of a dataset, and largest number of frames of each."""
PHOTOS_SHARE, MOST_PHOTOS = 1 / 20, 100
"""Share and largest number of the photos of a dataset that are held out where there are no sequences."""


@dataclass(frozen=True)
class ValidationData:
    """Samples to validate on, the same in every validation of a run.

    Attributes:
        name: description of the samples, for messages.
        sequences: name, source and sample numbers of each sequence, in the order of time.
        with_boundaries: whether F counts as well as J.
        skips_empty_truth: whether samples without any object are left out.
    """

    name: str
    sequences: tuple[tuple[str, TripletSource, tuple[int, ...]], ...]
    with_boundaries: bool
    skips_empty_truth: bool = False

    @property
    def samples(self) -> int:
        """Number of the samples."""
        return sum(len(numbers) for _, _, numbers in self.sequences)

    def read(self, first: int = 0, step: int = 1) -> Iterator[tuple[str, Triplet]]:
        """Yield every `step`-th sample, beginning with the one of number `first`, with the name of its sequence."""
        every = [(name, source, number) for name, source, numbers in self.sequences for number in numbers]
        for name, source, number in every[first::step]:
            (sample,) = source.read([number], 0)
            if sample.mask.any() or not self.skips_empty_truth:
                yield name, sample


class Part(TripletSource):
    """The samples of another source except for some of them.

    Args:
        source: source of all samples.
        left_out: numbers of the samples to leave out.
    """

    def __init__(self, source: TripletSource, left_out: Sequence[int]) -> None:
        self.source, self.left_out = source, list(left_out)
        self.samples = source.samples - len(self.left_out)
        self.has_flow_pictures, self.fingerprints = source.has_flow_pictures, source.fingerprints

    def order(self, epoch: int) -> Int64[np.ndarray, " n"]:
        """Return the numbers of the remaining samples in the order of an epoch."""
        order = self.source.order(epoch)
        return order[~np.isin(order, self.left_out)]

    def read(self, numbers: Sequence[int], epoch: int) -> list[Triplet]:
        """Read samples of the source."""
        return self.source.read(numbers, epoch)


def open_data(settings: TrainingSettings, rank: int = 0, ranks: int = 1) -> tuple[Mixture, ValidationData]:
    """Open the data that the settings name, and hold out samples to validate on.

    Args:
        settings: settings of the run.
        rank: rank of this process among `ranks` that train together.
        ranks: number of processes that train together.

    Returns:
        The samples to learn from, and those to validate on.

    Raises:
        SegmentationError: a source cannot be trained on, or there is nothing to validate on.
    """
    photos = [PhotoSource.parse(text) for text in settings.data]
    videos = [VideoSource.parse(text) for text in settings.videos]
    datasets = {one: open_dataset(one.dataset, one.root, training_split(one.dataset)) for one in videos}
    chosen = _chosen_sequences(datasets, Sequences.parse(settings.sequences))
    opened = {
        one: VideoFrames.of(dataset, one.flows, sequences=chosen[one], seed=settings.seed)
        for one, dataset in datasets.items()
    }
    is_held_out = settings.select == HELD_OUT
    held_out = {one: _held_out_sequences(frames.sequences) if is_held_out else () for one, frames in opened.items()}
    shards = [
        ShardDataset(one.url, seed=settings.seed, flow=settings.flow, flows=one.flows, photos=settings.photos)
        for one in photos
    ]
    if not settings.mixed_flow:
        origins = [origin for frames in opened.values() for origin in frames.flow_origins]
        require_one_kind([*origins, *(shard.flow_origin for shard in shards if shard.flow_origin is not None)])
    sources: list[tuple[TripletSource, float]] = [(of, one.weight) for of, one in zip(shards, photos, strict=True)]
    if not is_held_out:
        validation = _split_validation(settings.select, videos)
    elif any(held_out.values()):
        validation = _sequences_validation([(opened[one], names) for one, names in held_out.items()])
    elif photos:
        validation = _photos_validation(shards)
        left_out = [numbers for _, _, numbers in validation.sequences]
        sources = [(Part(source, some), weight) for (source, weight), some in zip(sources, left_out, strict=True)]
    else:
        raise TrainingError(
            f"--videos {settings.videos[0]} has a single sequence, so that none can be held out for validation; give "
            "more videos, photos by --data, or a split such as --select davis16-val"
        )
    for one in videos:
        learnt = [name for name in opened[one].sequences if name not in held_out[one]]
        sources.append((opened[one].only(learnt), one.weight))
    samples = settings.steps_per_epoch * settings.recipe.batch_size
    with_replacement = settings.recipe.with_replacement
    mixture = Mixture(sources, samples, seed=settings.seed, rank=rank, ranks=ranks, with_replacement=with_replacement)
    return mixture, validation


def open_videos(source: VideoSource, **options: Any) -> VideoFrames:
    """Open the training split of a video dataset, or all of a dataset that has no splits."""
    options = {"split": training_split(source.dataset), **options}
    return VideoFrames(source.dataset, source.root, source.flows, **options)


def training_split(dataset: str) -> str | None:
    """Return the name of the training split of a video dataset; None if it has no splits."""
    row = DATASETS.get(dataset)
    return "train" if row is None or "train" in row.splits else None


def _chosen_sequences(
    datasets: Mapping[VideoSource, OpenedDataset], sequences: Sequences
) -> dict[VideoSource, tuple[str, ...] | None]:
    """Return the names of the sequences of each dataset to learn from or to validate on; None = all.

    Raises:
        SegmentationError: a pattern selects nothing in any dataset, or nothing of one dataset is selected.
    """
    if not sequences.patterns:
        return dict.fromkeys(datasets)
    if not datasets:
        raise TrainingError("--sequences is given without --videos; leave it out, or give videos")
    names = {one: dataset.names for one, dataset in datasets.items()}
    sequences.check(frozenset().union(*names.values()), " and ".join(str(one.root) for one in datasets))
    chosen = {one: tuple(sorted(name for name in some if name in sequences)) for one, some in names.items()}
    for one, some in chosen.items():
        if not some:
            raise TrainingError(f"--sequences chooses nothing in {one.root}; leave --videos {one.dataset}=... out")
    return dict(chosen)


def _held_out_sequences(names: Sequence[str]) -> tuple[str, ...]:
    """Choose sequences to validate on, the same in every run; none if there is only one sequence."""
    number = 0 if len(names) < 2 else min(MOST_SEQUENCES, max(1, round(SEQUENCES_SHARE * len(names))))
    return tuple(sorted(sorted(names, key=lambda name: (zlib.crc32(name.encode()), name))[:number]))


def _sequences_validation(held_out: Sequence[tuple[VideoFrames, Sequence[str]]]) -> ValidationData:
    sequences = []
    for every, names in held_out:
        for name in names:
            frames = every.only([name])
            numbers = tuple(spread(range(frames.samples), MOST_FRAMES))
            sequences.append((name, frames, numbers))
    return ValidationData(f"{len(sequences)} held-out training sequences", tuple(sequences), with_boundaries=True)


def _split_validation(select: str, videos: list[VideoSource]) -> ValidationData:
    """Return the samples of a split, chosen by the usual protocol of its dataset."""
    name, _, split = select.rpartition("-")
    for source in videos:
        if source.dataset == name:
            protocol = protocol_for(name)
            every = open_videos(source, split=split)
            opened = [(one, every.only([one])) for one in every.sequences]
            sequences = tuple((one, f, tuple(protocol.counted(range(f.samples)))) for one, f in opened)
            return ValidationData(select, sequences, protocol.with_boundaries, protocol.skips_empty_truth)
    known = " or ".join(sorted({f"{source.dataset}-SPLIT" for source in videos})) or "nothing else without --videos"
    raise TrainingError(f"--select {select} names no split of the video datasets; expected {HELD_OUT} or {known}")


def _photos_validation(shards: Sequence[ShardDataset]) -> ValidationData:
    """Hold photos out of training to validate on; their flow is the stored one even if training draws motions."""
    sequences = []
    for learnt in shards:
        photos, url = learnt.with_stored_flow(), learnt.url
        number = min(MOST_PHOTOS, max(1, round(PHOTOS_SHARE * photos.samples)))
        if photos.samples <= number:
            raise TrainingError(f"{url} has only one usable sample; expected some to learn from and some to judge by")
        sequences.append((without_credentials(url), photos, tuple(spread(np.sort(photos.order(0)), number))))
    name = f"{sum(len(numbers) for _, _, numbers in sequences)} held-out photos"
    return ValidationData(name, tuple(sequences), with_boundaries=False)
