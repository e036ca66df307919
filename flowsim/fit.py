"""Fitting of a motion prior to real flow: motions that explain the real fields are clustered into types of shot."""

from collections.abc import Callable, Sequence

import numpy as np

from flowsim.errors import FlowsimError
from flowsim.inversion import Inversion, Scene, invert
from flowsim.prior import SMALLEST_AREA, MotionPrior, PerAxis, Quantiles, Shot
from flowsim.statistics import FlowStatistics

_FEWEST_FIELDS = 20
_FEWEST_SCENES = 20
# Types of shot with less than this fraction of the fields are left out.
_SMALLEST_TYPE = 0.02
_QUANTILES = 9
_MEANS_ROUNDS = 50
_DIRECTIONS = 2


def fit_prior(
    name: str,
    real: Sequence[FlowStatistics],
    scenes: Sequence[Scene],
    *,
    types: int = 6,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda to_do, done: None,
) -> MotionPrior:
    """Fit a mixture of shot types to the statistics of real flow.

    Args:
        name: name of the prior.
        real: statistics of real fields with their masks, at the common scale on a grid of `inversion.FIT_GRID`.
        scenes: depths and masks of photos to simulate on.
        types: number of types of shot, at most.
        seed: seed of all random draws; the same arguments give the same prior.
        progress: called with the total number of simulations and the number of finished ones.

    Returns:
        The prior, in which left and right are equally likely.

    Raises:
        FlowsimError: too few fields or scenes.
    """
    moving = [field for field in real if np.isfinite(field.angles).all() and np.isfinite(field.auc)]
    if len(moving) < _FEWEST_FIELDS:
        raise FlowsimError(
            f"{len(moving)} of {len(real)} flow fields move and show an object with its background; "
            f"expected at least {_FEWEST_FIELDS}: give more videos"
        )
    if len(scenes) < _FEWEST_SCENES:
        raise FlowsimError(f"{len(scenes)} photos with depth and an object; expected at least {_FEWEST_SCENES}")
    inversion = invert(moving, scenes, seed, progress)
    return MotionPrior(name, shot_types(inversion, types, seed))


def object_areas(areas: Sequence[float]) -> Quantiles:
    """Return `MotionPrior.object_area` from the parts of the picture that objects of real frames cover."""
    return _quantiles(np.clip(areas, SMALLEST_AREA, 1))


def shot_types(inversion: Inversion, types: int, seed: int) -> tuple[Shot, ...]:
    """Cluster the motions that explain real fields into types of shot, the most frequent first."""
    standing_out = np.nan_to_num(inversion.features[:, :-_DIRECTIONS])
    label = _clusters(standing_out, types, np.random.default_rng(seed))
    sizes = np.bincount(label)
    kept = [k for k in np.argsort(-sizes, kind="stable") if sizes[k] >= _SMALLEST_TYPE * len(label)]
    return tuple(
        _shot(inversion.parameters[label == k].reshape(-1, inversion.parameters.shape[-1]), sizes[k] / len(label))
        for k in kept
    )


def _shot(parameters: np.ndarray, weight: float) -> Shot:
    """Build a type of shot from the motions that belong to it."""

    def axes(first: int) -> PerAxis:
        x, y, z = (_quantiles(parameters[:, first + axis]) for axis in range(3))
        return x, y, z

    return Shot(
        weight=round(weight, 4),
        mirrored=True,
        magnitude=_quantiles(np.exp(parameters[:, 0])),
        rotation=axes(1),
        translation=axes(4),
        object_rotation=axes(7),
        object_translation=axes(10),
        object_deformation=_quantiles(np.exp(parameters[:, 13])),
        background_deformation=_quantiles(np.exp(parameters[:, 14])),
        blur=_quantiles(np.exp(parameters[:, 15])),
        far=_quantiles(np.exp(parameters[:, 16])),
        fov_deg=_quantiles(parameters[:, 17]),
    )


def _quantiles(values: np.ndarray) -> Quantiles:
    """Return the quantiles of values without the outermost 2 % on either side, to four significant digits."""
    return tuple(float(f"{value:.4g}") for value in np.quantile(values, np.linspace(0.02, 0.98, _QUANTILES)))


def _clusters(points: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Return the cluster of each point by k-means, started by k-means++ (Arthur and Vassilvitskii 2007)."""
    centres = points[[random.integers(len(points))]]
    while len(centres) < min(count, len(points)):
        squares = _squares(points, centres).min(1)
        if not squares.any():
            break
        centres = np.concatenate([centres, points[[random.choice(len(points), p=squares / squares.sum())]]])
    label: np.ndarray = _squares(points, centres).argmin(1)
    for _ in range(_MEANS_ROUNDS):
        centres = np.array([points[label == k].mean(0) if (label == k).any() else c for k, c in enumerate(centres)])
        label = _squares(points, centres).argmin(1)
    return label


def _squares(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return the squared distance of every point to every centre: (points, centres)."""
    squares: np.ndarray = ((points[:, None] - centres) ** 2).sum(-1)
    return squares
