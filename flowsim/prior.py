"""Motion priors: distributions of camera and object motions, as plain numbers."""

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from flowsim.errors import FlowsimError

PRESETS = ("parallax", "camera", "camera+object", "davis", "davis-small")
MODELS = ("parallax", "rigid")
"""Formulas of motion. Datasets store positions in this tuple, so new names go to its end."""
SMALLEST_AREA = 1e-3
"""Smallest part of the picture that `MotionPrior.object_area` may ask for."""

# A distribution is given by its quantiles at equal steps of probability: (a,) is always a, (a, b) is uniform between a
# and b, and (a, b, c) is uniform in a..b half of the time and in b..c otherwise. Fitted distributions are longer. Each
# draw takes one uniform number.
Quantiles = tuple[float, ...]
PerAxis = tuple[Quantiles, Quantiles, Quantiles]

# Part of the picture that objects of DAVIS train cover, by `segmentation fit-motion`.
_DAVIS_OBJECT_AREA = (0.01436, 0.03144, 0.04449, 0.04974, 0.05502, 0.06946, 0.1094, 0.1494, 0.2046)
_PER_AXIS = ("rotation", "translation", "object_rotation", "object_translation")
_STILL: PerAxis = ((0.0,), (0.0,), (0.0,))


def quantile(quantiles: Quantiles, probability: float) -> float:
    """Return the value of a distribution at a probability.

    Args:
        quantiles: values at the probabilities 0, 1/(n-1), ..., 1; a single value is returned for every probability.
        probability: number in [0, 1].

    Returns:
        The value, interpolated linearly between the quantiles.
    """
    if len(quantiles) == 1:
        return quantiles[0]
    position = probability * (len(quantiles) - 1)
    below = min(int(position), len(quantiles) - 2)
    return quantiles[below] + (position - below) * (quantiles[below + 1] - quantiles[below])


@dataclass(frozen=True)
class Shot:
    """Distributions of the motions in one type of shot.

    The components of rotation and translation determine the kind of motion, and `magnitude` its size: all components
    are multiplied by the one factor that gives the flow its drawn size. Therefore only their ratios matter. A rotation
    of 0.01 (rad) moves a pixel in the middle about as far as a translation of 0.01 moves the nearest point.

    Attributes:
        model: `rigid` for a pinhole camera that moves through a rigid scene, in which an object may move as well;
            `parallax` for flow = (normalised inverse depth - zero plane) times one vector.
        weight: frequency of this type of shot, relative to the others.
        magnitude: size of the flow, the `percentile` of |flow| over all pixels, relative to the picture's longer side.
        percentile: percentile of |flow| that `magnitude` refers to, in (0, 100].
        largest: greatest allowed |flow| relative to the longer side; a motion that exceeds it is made smaller as a
            whole.
        fov_deg: horizontal field of view, degrees. (rigid)
        far: depth of the farthest point in nearest depths, at least 1. (rigid)
        rotation: camera's rotation vector about x (tilt), y (pan), z (roll), rad before scaling. (rigid)
        translation: camera's t along x, y, z in nearest depths before scaling. (rigid)
        object_rotation: object's rotation vector about its own centre, rad before scaling. (rigid)
        object_translation: object's t along x, y, z relative to its distance, before scaling. (rigid)
        follow: fraction of the object's sideways motion that the camera compensates by pan and tilt; 1 keeps the object
            in place. (rigid)
        zero_plane: normalised inverse depth that stands still, 1 = nearest. (parallax)
        direction_deg: direction in which nearer points move; 0 = right, 90 = down. (parallax)
        object_deformation: root mean square of a smooth random displacement of the object on top of its rigid motion,
            relative to the longer side, before scaling. It stands for bending and for errors of flow estimation.
        background_deformation: the same for the background, or for the whole picture if the object does not move on its
            own.
        blur: standard deviation of the Gaussian that softens the flow, relative to the longer side; not scaled. It
            stands for the soft borders of estimated flow.
        mirrored: whether half of the draws are reflected left to right. Neither side is then preferred, while the
            motions of camera and object keep their relation to each other.
    """

    model: str = "rigid"
    weight: float = 1.0
    magnitude: Quantiles = (0.005, 0.015, 0.035, 0.1)
    percentile: float = 90.0
    largest: float = 0.5
    fov_deg: Quantiles = (40.0, 70.0)
    far: Quantiles = (3.0, 6.0, 12.0, 30.0)
    rotation: PerAxis = _STILL
    translation: PerAxis = _STILL
    object_rotation: PerAxis = _STILL
    object_translation: PerAxis = _STILL
    follow: Quantiles = (0.0,)
    zero_plane: Quantiles = (0.0, 1.0)
    direction_deg: Quantiles = (0.0, 360.0)
    object_deformation: Quantiles = (0.0,)
    background_deformation: Quantiles = (0.0,)
    blur: Quantiles = (0.0,)
    mirrored: bool = False

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise FlowsimError(f"Shot.model is {self.model!r}, expected one of {', '.join(MODELS)}")
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name in _PER_AXIS:
                for axis in value:
                    _check_quantiles(f"Shot.{item.name}", axis, -math.inf, math.inf)
            elif item.name in _BOUNDS:
                numbers = value if isinstance(value, tuple) else (value,)
                _check_quantiles(f"Shot.{item.name}", numbers, *_BOUNDS[item.name])

    @property
    def moves_object(self) -> bool:
        """Return whether an object may move on its own, so that a mask is needed."""
        return (self.object_rotation, self.object_translation, self.object_deformation) != (_STILL, _STILL, (0.0,))


_BOUNDS = {
    "weight": (0.0, math.inf),
    "magnitude": (0.0, math.inf),
    "percentile": (1e-6, 100.0),
    "largest": (1e-6, math.inf),
    "fov_deg": (1e-3, 179.0),
    "far": (1.0, math.inf),
    "follow": (-math.inf, math.inf),
    "zero_plane": (-math.inf, math.inf),
    "direction_deg": (-math.inf, math.inf),
    "object_deformation": (0.0, math.inf),
    "background_deformation": (0.0, math.inf),
    "blur": (0.0, 0.1),
}


def _check_quantiles(name: str, quantiles: Quantiles, low: float, high: float) -> None:
    """Raise FlowsimError unless the values are finite, within bounds and in ascending order."""
    if not quantiles:
        raise FlowsimError(f"{name} is empty, expected at least one quantile")
    if not all(math.isfinite(q) and low <= q <= high for q in quantiles):
        raise FlowsimError(f"{name} holds {quantiles}, expected finite floats in [{low:g}, {high:g}]")
    if list(quantiles) != sorted(quantiles):
        raise FlowsimError(f"{name} holds {quantiles}, expected quantiles in ascending order")


@dataclass(frozen=True)
class MotionPrior:
    """A mixture of types of shot that motions are drawn from.

    Attributes:
        name: name of the prior in records and messages.
        shots: types of shot, drawn in proportion to their weights.
        object_area: part of the picture that the objects of pairs and clips cover at most, in (0, 1]; larger ones are
            drawn smaller. Empty = objects stay as large as they are.
    """

    name: str
    shots: tuple[Shot, ...] = field(default_factory=tuple)
    object_area: Quantiles = ()

    def __post_init__(self) -> None:
        if not self.shots or not sum(shot.weight for shot in self.shots) > 0:
            raise FlowsimError(f"MotionPrior {self.name!r} has no shot of positive weight; give at least one")
        if self.object_area:
            _check_quantiles("MotionPrior.object_area", self.object_area, SMALLEST_AREA, 1.0)

    @classmethod
    def preset(cls, name: str) -> "MotionPrior":
        """Return one of the priors that come with fakeflow.

        Args:
            name: `parallax` (our reading of the paper), `camera`, `camera+object`, `davis` (fitted to real flow), or
                `davis-small` (the same, with objects as small as in these videos).

        Raises:
            FlowsimError: no preset has this name.
        """
        if name not in PRESETS:
            raise FlowsimError(f"no motion preset {name!r}; there are: {', '.join(PRESETS)}")
        if name in _PRESET_SHOTS:
            return cls(name, _PRESET_SHOTS[name])
        return replace(_fitted_to_davis(), name=name, object_area=_DAVIS_OBJECT_AREA if name == "davis-small" else ())

    def to_dict(self) -> dict[str, Any]:
        """Return the prior as plain numbers, strings and lists for TOML or JSON."""
        plain: dict[str, Any] = _with_lists(asdict(self))
        return plain if self.object_area else {key: plain[key] for key in ("name", "shots")}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "MotionPrior":
        """Build a prior from the result of `to_dict`; values that a shot leaves out take their defaults.

        Raises:
            FlowsimError: a key is unknown, or a value is out of range.
        """
        _check_keys("MotionPrior", plain, [item.name for item in fields(cls)])
        if "name" not in plain or "shots" not in plain:
            raise FlowsimError("MotionPrior needs `name` and `shots`")
        shots: list[Shot] = []
        if not isinstance(plain["shots"], list) or not all(isinstance(shot, dict) for shot in plain["shots"]):
            raise FlowsimError(f"MotionPrior.shots is {plain['shots']!r:.60}, expected a list of tables")
        for shot in plain["shots"]:
            _check_keys("Shot", shot, [item.name for item in fields(Shot)])
            shots.append(Shot(**{name: _value_of(name, value) for name, value in shot.items()}))
        return cls(
            str(plain["name"]), tuple(shots), _quantiles_of("MotionPrior.object_area", plain.get("object_area", ()))
        )

    @property
    def moves_object(self) -> bool:
        """Return whether an object may move on its own in some shot, so that masks are needed."""
        return any(shot.moves_object for shot in self.shots)

    def shot_at(self, probability: float) -> int:
        """Return the index of the shot that a uniform number in [0, 1) selects."""
        upper = np.cumsum([shot.weight for shot in self.shots])
        return int(np.searchsorted(upper, probability * upper[-1], side="right"))


@cache
def _fitted_to_davis() -> MotionPrior:
    """Read the prior that was fitted to DAVIS train from the package's files."""
    text = (files("flowsim") / "presets" / "davis.toml").read_text(encoding="utf-8")
    return MotionPrior.from_dict(tomllib.loads(text))


def _check_keys(owner: str, plain: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raise FlowsimError if there are unknown keys."""
    unknown = sorted(set(plain) - set(known))
    if unknown:
        raise FlowsimError(f"{owner} has no {', '.join(unknown)}; it has: {', '.join(known)}")


def _with_lists(value: Any) -> Any:
    """Return a value with all its tuples as lists, at every level."""
    if isinstance(value, dict):
        return {key: _with_lists(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_with_lists(item) for item in value]
    return value


def _value_of(name: str, plain: Any) -> Any:
    """Return a value of a shot as `Shot` takes it; quantiles may be given as a list of numbers or as one number."""
    if name == "model":
        return plain
    if name == "mirrored":
        if not isinstance(plain, bool):
            raise FlowsimError(f"Shot.mirrored is {plain!r}, expected true or false")
        return plain
    if name in ("weight", "percentile", "largest"):
        return _number(f"Shot.{name}", plain)
    if name not in _PER_AXIS:
        return _quantiles_of(f"Shot.{name}", plain)
    if not isinstance(plain, list | tuple) or len(plain) != 3:
        raise FlowsimError(f"Shot.{name} is {plain!r}, expected three lists of quantiles, for x, y and z")
    return tuple(_quantiles_of(f"Shot.{name}", axis) for axis in plain)


def _quantiles_of(name: str, plain: Any) -> Quantiles:
    """Return a list of numbers, or one number, as quantiles."""
    return tuple(_number(name, value) for value in (plain if isinstance(plain, list | tuple) else [plain]))


def _number(name: str, plain: Any) -> float:
    """Return a number as float."""
    if isinstance(plain, bool) or not isinstance(plain, int | float):
        raise FlowsimError(f"{name} has {plain!r} where a number is expected")
    return float(plain)


# People pan more than they tilt or roll a camera, and move it sideways more than up or down.
_CAMERA = Shot(
    rotation=((-0.2, 0.0, 0.2), (-0.7, 0.0, 0.7), (-0.15, 0.0, 0.15)),
    translation=((-1.0, 0.0, 1.0), (-0.3, 0.0, 0.3), (-0.8, 0.0, 0.8)),
)
_PRESET_SHOTS = {
    "parallax": (Shot(model="parallax"),),
    "camera": (_CAMERA,),
    "camera+object": (
        replace(
            _CAMERA,
            object_rotation=((-0.15, 0.0, 0.15), (-0.25, 0.0, 0.25), (-0.4, 0.0, 0.4)),
            object_translation=((-1.0, 0.0, 1.0), (-0.35, 0.0, 0.35), (-0.4, 0.0, 0.4)),
            follow=(0.0, 1.0),
        ),
    ),
}
