"""How steadily cameras and objects of real videos move: the constants of the paths of clips (`flowsim.paths`)."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from segmentation.errors import FlowError
from segmentation.training.motion_fit import Field

_FEWEST_STEPS = 8


class Steadiness(NamedTuple):
    """A first-order autoregressive process of a velocity around its mean.

    Attributes:
        persistence: correlation of the deviations of neighbouring steps.
        spread: standard deviation of one component, relative to the length of the mean velocity.
    """

    persistence: float
    spread: float


def velocities_of(fields: Iterable[tuple[str, Field]]) -> dict[str, Float[np.ndarray, "steps 2 2"]]:
    """Measure velocities in consecutive fields of videos.

    Args:
        fields: name of the video, and flow, mask and longer side, frame by frame.

    Returns:
        Velocities of each video relative to the longer side of its frames: at index 0 the median flow outside of the
        mask, at index 1 the median flow inside of it minus the former. A video without an object in one of its frames
        ends there. The last frame is left out, because its flow leads back to the frame before.
    """
    measured: dict[str, list[np.ndarray]] = {}
    ended = set()
    for name, (flow_px, mask, side_px) in fields:
        known = np.isfinite(flow_px).all(-1)
        inside, outside = flow_px[mask & known], flow_px[~mask & known]
        if not len(inside) or not len(outside):
            ended.add(name)
        if name not in ended:
            background = np.median(outside, 0)
            step = np.stack([background, np.median(inside, 0) - background]) / side_px
            measured.setdefault(name, []).append(step)
    return {name: np.array(steps if name in ended else steps[:-1]) for name, steps in measured.items()}


def steadiness_of(velocity: Float[np.ndarray, "steps 2"]) -> Steadiness:
    """Fit the process to the velocity of one video.

    Both figures are moments of the sample, so that the process changes from step to step as much as the video does.
    Where the velocity drifts for longer than the video lasts, both are too small.
    """
    mean = velocity.mean(0)
    deviation = velocity - mean
    variance = (deviation * deviation).mean()
    persistence = (deviation[1:] * deviation[:-1]).mean() / variance
    return Steadiness(float(persistence), float(np.sqrt(variance) / np.linalg.norm(mean)))


def fit_steadiness(fields: Iterable[tuple[str, Field]]) -> dict[str, dict[str, Steadiness]]:
    """Fit the process to camera and object of each video.

    Args:
        fields: as for `velocities_of`.

    Returns:
        Steadiness of `camera` and `object` by name of the video; the name `median` holds the medians over all videos.

    Raises:
        FlowError: no video has enough steps.
    """
    found = {
        name: {part: steadiness_of(steps[:, index]) for index, part in enumerate(("camera", "object"))}
        for name, steps in velocities_of(fields).items()
        if len(steps) >= _FEWEST_STEPS
    }
    if not found:
        raise FlowError(f"no video has {_FEWEST_STEPS} consecutive flow fields with an object; expected at least one")
    median = {}
    for part in ("camera", "object"):
        values = [one[part] for one in found.values()]
        median[part] = Steadiness(*map(statistics.median, zip(*values, strict=True)))
    return {**found, "median": median}
