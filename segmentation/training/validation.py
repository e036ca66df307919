"""Scores of a network, while it is trained, on samples that it does not learn from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from depth.streams import map_on_cores
from segmentation.data.photo_samples import Triplet
from segmentation.data.read_ahead import batches
from segmentation.network.model import TwoStreamNetwork
from segmentation.network.segmenter import Mask, Pair, Segmenter
from segmentation.scoring.metrics import score_frames
from segmentation.training.data_split import ValidationData
from segmentation.training.learner import Place

POOR_IOU, EARLY_SHARE = 0.1, 0.25
"""Below this IoU a network finds next to nothing; before this share of a training that is no reason to worry."""

Labelled = tuple[str, Triplet]
"""A sample with the name of the sequence that it belongs to."""


@dataclass(frozen=True)
class SampleScore:
    """J and F of one sample of a sequence; F is NaN if it is not measured."""

    sequence: str
    J: float
    F: float


@dataclass(frozen=True)
class ValidationScore:
    """Scores of a validation: means over frames, then over sequences.

    Attributes:
        measure: name of the measure of `value`, `J&F` or `IoU`.
        value: mean score in [0, 1].
        J: mean region similarity, the same as IoU.
        F: mean boundary accuracy; None if the measure is IoU.
        sequences: value of each sequence.
    """

    measure: str
    value: float
    J: float
    F: float | None
    sequences: Mapping[str, float]


def validate(
    network: TwoStreamNetwork,
    data: ValidationData,
    place: Place,
    *,
    precision: str,
    check: Callable[[], None] = lambda: None,
) -> ValidationScore:
    """Score a network on the samples of a validation, which the ranks of a run share.

    Args:
        network: network on the device of `place`.
        data: samples to validate on.
        place: device and rank of this process.
        precision: arithmetic of the network on a GPU.
        check: function called between batches; it may raise to stop.
    """
    scores = list(
        score_samples(
            network,
            data.read(place.rank, place.ranks),
            with_boundaries=data.with_boundaries,
            device=place.device,
            precision=precision,
            check=check,
        )
    )
    if place.ranks > 1:
        gathered: list[list[SampleScore]] = [[] for _ in range(place.ranks)]
        torch.distributed.all_gather_object(gathered, scores)
        scores = [score for some in gathered for score in some]
    return summarize(scores, with_boundaries=data.with_boundaries)


def score_samples(
    network: TwoStreamNetwork,
    samples: Iterable[Labelled],
    *,
    with_boundaries: bool,
    device: str,
    precision: str = "float32",
    check: Callable[[], None] = lambda: None,
) -> Iterator[SampleScore]:
    """Score the masks of a network, each at the size of its sample.

    Args:
        network: network on `device`.
        samples: samples, each with the name of its sequence.
        with_boundaries: whether to measure F as well.
        device: `cpu` or `cuda`.
        precision: arithmetic of the network on a GPU.
        check: function called between batches; it may raise to stop.
    """

    def score(item: tuple[Labelled, Mask]) -> SampleScore:
        (sequence, sample), found = item
        truth = sample.mask.numpy() > 0
        region, contour = score_frames(found[None], truth[None], with_boundaries=with_boundaries)
        return SampleScore(sequence, float(region[0]), float(contour[0]))

    was_training = network.training
    segmenter = Segmenter(network, device, precision)
    try:
        for some in batches(samples, segmenter.batch):
            check()
            masks = segmenter([as_pixels(sample) for _, sample in some])
            yield from map_on_cores(score, zip(some, masks, strict=True))
    finally:
        network.train(was_training)


def warn_of_empty_masks(score: ValidationScore, done: float) -> str | None:
    """Return a warning if the network finds next to nothing although a good part of the training is done.

    Args:
        score: of a validation.
        done: share of the training that is done, in [0, 1].
    """
    if score.J >= POOR_IOU or done < EARLY_SHARE:
        return None
    return (
        f"warning: the network finds next to nothing: its validation IoU is {score.J:.2f} after {done:.0%} of the "
        "training. Train for more --epochs, start from weights (--initialization) or raise --learning-rate, and look "
        "at the masks of the data with `pipeline preview`"
    )


def as_pixels(sample: Triplet) -> Pair:
    """Return the image and the colours of the flow, as a `Segmenter` takes them."""
    return sample.image.numpy(), sample.colors().numpy()


def summarize(scores: Iterable[SampleScore], *, with_boundaries: bool) -> ValidationScore:
    """Return the means of scores over frames, then over sequences."""
    by_sequence: dict[str, list[SampleScore]] = defaultdict(list)
    for score in scores:
        by_sequence[score.sequence].append(score)
    region = {name: float(np.mean([score.J for score in some])) for name, some in sorted(by_sequence.items())}
    j = float(np.mean(list(region.values())))
    if not with_boundaries:
        return ValidationScore("IoU", j, j, None, region)
    contour = {name: float(np.mean([score.F for score in some])) for name, some in sorted(by_sequence.items())}
    f = float(np.mean(list(contour.values())))
    both = {name: (region[name] + contour[name]) / 2 for name in region}
    return ValidationScore("J&F", (j + f) / 2, j, f, both)
