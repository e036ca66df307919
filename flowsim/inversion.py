"""Search for motions whose simulated flow looks like given fields: approximate Bayesian computation.

The method is that of Beaumont, Cornuet, Marin, Robert: Adaptive approximate Bayesian computation (2009). Candidates are
drawn from a wide distribution. Those whose flow has statistics closest to a real field's are kept, varied a little and
simulated again on other scenes. No depth of the real fields is needed, because candidates are simulated on scenes with
known depth.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from flowsim.comparison import statistics_at_scale
from flowsim.sampling import MotionSample
from flowsim.simulation import simulate_flow
from flowsim.statistics import ANGLE_BINS, FlowStatistics

# Longer side of the grid on which fields are compared; it is coarse because thousands of fields are simulated.
FIT_GRID = 107

PARAMETERS = (
    "log_magnitude",
    *("tilt", "pan", "roll"),
    *("camera_x", "camera_y", "camera_z"),
    *("object_tilt", "object_pan", "object_roll"),
    *("object_x", "object_y", "object_z"),
    *("log_object_deformation", "log_background_deformation", "log_blur", "log_far", "fov_deg"),
)
_COMPONENTS = slice(1, 13)
_DEFORMATIONS = slice(13, 15)
# Sign that each parameter, or feature, takes if the picture is reflected left to right.
REFLECTION = np.array([1, *(1, -1, -1), *(-1, 1, 1), *(1, -1, -1), *(-1, 1, 1), *[1] * 5], np.float64)
_FEATURE_REFLECTION = np.array([*[1] * 13, -1, 1], np.float64)

# Number of widely drawn candidates for each real field, and their least number in all.
_WIDE_PER_FIELD = 8
_FEWEST_WIDE = 300
# Relative width of the variations in each round, candidates kept for each field, and variations of each of them.
_ROUNDS = (0.5, 0.3, 0.2, 0.12)
_KEPT = 3
_CHILDREN = 2
_UNDEFINED_DISTANCE = 2.0
_LEAST = np.array([math.log(2e-4), *[-8.0] * 12, math.log(1e-3), math.log(1e-3), math.log(5e-4), math.log(1.2), 35.0])
_MOST = np.array([math.log(0.3), *[8.0] * 12, math.log(3.0), math.log(3.0), math.log(0.03), math.log(40.0), 75.0])

Parameters = Float64[np.ndarray, "n parameters"]


class Scene(NamedTuple):
    """A scene that flow is simulated on.

    Attributes:
        inverse_depth: (h,w) float32 in [0,1], normalised per photo.
        mask: (h,w) bool, the object.
    """

    inverse_depth: np.ndarray
    mask: np.ndarray


class Inversion(NamedTuple):
    """Motions that explain real fields.

    Attributes:
        parameters: (fields, kept, parameters) float64, named by `PARAMETERS`; motion components are relative to the
            magnitude.
        features: (fields, features) float64, the features of the real fields, scaled to unit variance.
    """

    parameters: Float64[np.ndarray, "fields kept parameters"]
    features: Float64[np.ndarray, "fields features"]


def invert(
    real: Sequence[FlowStatistics], scenes: Sequence[Scene], seed: int, progress: Callable[[int, int], None]
) -> Inversion:
    """Find for each real field the motions whose simulated flow has the most similar statistics.

    Left and right are not told apart: fields are reflected so that they move to the right on average.

    Args:
        real: statistics of real fields at the common scale on a grid of `FIT_GRID`.
        scenes: depths and masks of photos to simulate on, best no larger than that grid.
        seed: seed of all random draws.
        progress: called with the total number of simulations and the number of finished ones.

    Returns:
        The kept motions of each field.
    """
    random = np.random.default_rng(seed)
    wanted = _reflected_to_right(np.array([features(field) for field in real]))[0]
    spread = np.nanstd(wanted, 0) + 1e-6
    parameters = np.empty((0, len(PARAMETERS)))
    found = np.empty((0, wanted.shape[1]))
    start = max(_FEWEST_WIDE, _WIDE_PER_FIELD * len(real))
    total = start + len(_ROUNDS) * len(real) * _KEPT * _CHILDREN
    nearest = np.empty((len(real), 0), np.int64)
    for width in (None, *_ROUNDS):
        if width is None:
            candidates = _wide(random, start)
        else:
            candidates = _varied(np.repeat(parameters[nearest.ravel()], _CHILDREN, 0), width, random)
        simulated = []
        for candidate in candidates:
            simulated.append(_simulate(candidate, scenes[int(random.integers(len(scenes)))], random))
            progress(total, len(parameters) + len(simulated))
        new_features, is_reflected = _reflected_to_right(np.array([field for _, field in simulated]))
        new = np.array([made for made, _ in simulated])
        parameters = np.concatenate([parameters, np.where(is_reflected[:, None], new * REFLECTION, new)])
        found = np.concatenate([found, new_features])
        nearest = _nearest(wanted / spread, found / spread)
    return Inversion(parameters[nearest], (wanted - np.nanmean(wanted, 0)) / spread)


def features(field: FlowStatistics) -> Float64[np.ndarray, " features"]:
    """Return a field's statistics as comparable numbers: logarithms of lengths and ratios, and the mean direction."""
    angle = (np.arange(ANGLE_BINS) + 0.5) * (2 * math.pi / ANGLE_BINS) - math.pi
    return np.array(
        [
            *(_log(value) for value in (field.magnitude_p10_px, field.magnitude_p50_px, field.magnitude_p90_px)),
            *(field.relative_p10, field.relative_p50, field.relative_p90),
            *(_log(value) for value in (field.axis_ratio, field.offset_px, field.separation, field.edge_ratio)),
            *(field.coherence, field.object_share, field.auc),
            *((field.angles * np.cos(angle)).sum(), (field.angles * np.sin(angle)).sum()),
        ]
    )


def _log(value: float) -> float:
    """Return the logarithm of a length or ratio; lengths that flow estimation cannot tell from zero count as 0.05."""
    return math.log(max(value, 0.05)) if math.isfinite(value) else math.nan


def _reflected_to_right(fields: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reflect fields that move left on average; return the features, and which fields were reflected."""
    is_reflected = fields[:, -2] < 0
    return np.where(is_reflected[:, None], fields * _FEATURE_REFLECTION, fields), is_reflected


def _wide(random: np.random.Generator, count: int) -> Parameters:
    """Draw candidates of every kind; each part of the motion gets a weight between 1 and 100 %."""
    drawn = random.uniform(_LEAST, _MOST, (count, len(PARAMETERS)))
    drawn[:, 0] = random.uniform(math.log(5e-4), math.log(0.15), count)
    usual = np.array([0.4, 1, 0.2, 1, 0.4, 1, 0.4, 0.4, 0.4, 1, 0.5, 0.5])
    parts = 0.01 ** random.random((count, 4))
    drawn[:, _COMPONENTS] = random.normal(size=(count, 12)) * usual * np.repeat(parts, 3, 1)
    drawn[:, _DEFORMATIONS] = math.log(0.3) + math.log(0.01) * random.random((count, 2))
    return drawn


def _varied(parameters: Parameters, width: float, random: np.random.Generator) -> Parameters:
    """Draw a neighbour of each candidate at random."""
    noise = random.normal(size=parameters.shape) * width
    varied = parameters + noise * np.array([0.5, *[0.05] * 12, 1, 1, 0.5, 0.5, 10])
    varied[:, _COMPONENTS] *= np.exp(random.normal(size=(len(parameters), 12)) * width)
    clipped: Parameters = np.clip(varied, _LEAST, _MOST)
    return clipped


def _simulate(candidate: np.ndarray, scene: Scene, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Simulate a candidate; return it with components relative to its magnitude, and the features of its flow."""
    magnitude = math.exp(candidate[0])
    tilt, pan, roll, x, y, z, *own = candidate[_COMPONENTS].tolist()
    object_deformation, background_deformation, blur, far = np.exp(candidate[13:17]).tolist()
    drawn = MotionSample(
        model="rigid",
        shot=0,
        magnitude=magnitude,
        percentile=90.0,
        largest=0.5,
        fov_deg=float(candidate[17]),
        far=far,
        zero_plane=0.0,
        scale=-1.0,
        rotation=(tilt, pan, roll),
        translation=(x, y, z),
        object_rotation=(own[0], own[1], own[2]),
        object_translation=(own[3], own[4], own[5]),
        pivot=(0.0, 0.0, 0.0),
        object_deformation=object_deformation,
        background_deformation=background_deformation,
        blur=blur,
        wave_seed=int(random.integers(2**53)),
    )
    flow, _, made = simulate_flow(scene.inverse_depth, scene.mask, drawn)
    relative = max(made.scale, 1e-9) / magnitude
    kept = candidate.copy()
    kept[_COMPONENTS] *= relative
    kept[_DEFORMATIONS] += math.log(relative)
    kept = np.clip(kept, _LEAST, _MOST)
    return kept, features(statistics_at_scale(flow, scene.mask, max(scene.mask.shape), FIT_GRID))


def _nearest(wanted: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return the indices of the `_KEPT` candidates nearest to each wanted field: (fields, kept)."""
    squares = np.empty((len(wanted), len(found)))
    for row, field in zip(squares, wanted, strict=True):
        difference = found - field
        row[:] = np.where(np.isfinite(difference), difference**2, _UNDEFINED_DISTANCE**2).sum(1)
    return np.argpartition(squares, _KEPT, 1)[:, :_KEPT]
