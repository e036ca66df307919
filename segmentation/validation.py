"""How good a network is on samples that it does not learn from, while it is trained."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8

from depth.streams import map_on_cores
from segmentation.datasets import Triplet
from segmentation.metrics import score_frames
from segmentation.model import TwoStreamNetwork
from segmentation.optimization import autocast
from segmentation.transforms import flow_to_network_rgb

SAMPLES_AT_ONCE = 16
Labelled = tuple[str, Triplet]
"""A sample and the sequence that it belongs to."""


@dataclass(frozen=True)
class SampleScore:
    """J and F of one sample of a sequence; F is NaN where it is not measured."""

    sequence: str
    J: float
    F: float


@dataclass(frozen=True)
class ValidationScore:
    """Means over frames, then over sequences.

    Attributes:
        measure: `J&F` or `IoU`: which of them `value` is.
        value: in [0, 1].
        J: region similarity, the same as IoU.
        F: boundary accuracy; None where the measure is IoU.
        sequences: value of each sequence.
    """

    measure: str
    value: float
    J: float
    F: float | None
    sequences: Mapping[str, float]


def score_samples(
    network: TwoStreamNetwork,
    samples: Iterable[Labelled],
    *,
    with_boundaries: bool,
    device: str,
    precision: str = "float32",
    check: Callable[[], None] = lambda: None,
) -> Iterator[SampleScore]:
    """Score the network's masks, each at its sample's own size.

    Args:
        network: on `device`.
        samples: each with the name of its sequence.
        with_boundaries: measure F as well.
        device: `cpu` or `cuda`.
        precision: on a GPU.
        check: called between samples; may raise to stop.
    """

    def score(labelled: Labelled) -> SampleScore:
        check()
        sequence, sample = labelled
        found = predict_sample(network, sample, device, precision)
        truth = sample.mask.numpy() > 0
        region, contour = score_frames(found[None] > 0, truth[None], with_boundaries=with_boundaries)
        return SampleScore(sequence, float(region[0]), float(contour[0]))

    was_training = network.training
    network.eval()
    try:
        left = iter(samples)
        while some := list(itertools.islice(left, SAMPLES_AT_ONCE)):
            yield from map_on_cores(score, some) if device == "cpu" else map(score, some)
    finally:
        network.train(was_training)


def predict_sample(
    network: TwoStreamNetwork, sample: Triplet, device: str, precision: str = "float32"
) -> UInt8[np.ndarray, "h w"]:
    """Return the mask, 1 = object, of a network in evaluation mode."""
    image = sample.image.to(device).permute(2, 0, 1)[None].float() / 255
    flow_rgb = flow_to_network_rgb(sample.flow_px.to(device))[None]
    with torch.inference_mode(), autocast(precision, device):
        logits = network(image, flow_rgb)
    mask: UInt8[np.ndarray, "h w"] = (logits[0, 1] > logits[0, 0]).to(torch.uint8).cpu().numpy()
    return mask


def summarize(scores: Iterable[SampleScore], *, with_boundaries: bool) -> ValidationScore:
    """Take the means."""
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
