"""The motion of one photo, drawn from a prior; the same draw gives the same motion on any machine."""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float64

from flowsim import projection
from flowsim.camera import focal_length_px
from flowsim.errors import FlowsimError
from flowsim.prior import MODELS, MotionPrior, Quantiles, Shot, quantile

Triple = tuple[float, float, float]

_SCALARS = ("shot", "magnitude", "percentile", "largest", "fov_deg", "far", "zero_plane", "scale")
_DEFORMATION = ("object_deformation", "background_deformation", "blur", "wave_seed")
_TRIPLES = ("rotation", "translation", "object_rotation", "object_translation", "pivot")


@dataclass(frozen=True)
class MotionSample:
    """One motion of one photo, which makes a flow field together with the photo's inverse depth and mask.

    A drawn motion is unresolved (`scale` -1): its kind is known, but not its size, which depends on the photo.
    `simulate_flow` finds the size and returns the resolved motion, which gives the same flow again from the stored
    inverse depth, at any resolution.

    Attributes:
        model: `rigid` or `parallax`.
        shot: index of the prior's shot that the motion was drawn from.
        magnitude: wanted size of the flow relative to the picture's longer side, as the `percentile` of |flow|.
        percentile: percentile of |flow| that `magnitude` refers to, in (0, 100].
        largest: upper bound of |flow| relative to the longer side.
        fov_deg: horizontal field of view, degrees.
        far: depth of the farthest point in nearest depths.
        zero_plane: normalised inverse depth that stands still (parallax).
        scale: factor by which the unresolved motion was multiplied; -1 = unresolved.
        rotation: camera's rotation vector, rad.
        translation: camera's t in nearest depths. For parallax, flow per unit of normalised inverse depth, relative to
            the longer side, with the third entry 0.
        object_rotation: object's rotation vector about the pivot, rad.
        object_translation: object's t in nearest depths; in an unresolved motion relative to the object's distance.
        pivot: object's centre in the camera's frame, nearest depths; (0, 0, 0) in an unresolved motion.
        object_deformation: root mean square of the object's displacement field, relative to the longer side.
        background_deformation: root mean square of the background's displacement field, relative to the longer side.
        blur: standard deviation of the Gaussian that softens the flow, relative to the longer side.
        wave_seed: seed of the displacement field, 0 .. 2**53 - 1.
    """

    model: str
    shot: int
    magnitude: float
    percentile: float
    largest: float
    fov_deg: float
    far: float
    zero_plane: float
    scale: float
    rotation: Triple
    translation: Triple
    object_rotation: Triple
    object_translation: Triple
    pivot: Triple
    object_deformation: float = 0.0
    background_deformation: float = 0.0
    blur: float = 0.0
    wave_seed: int = 0

    names: ClassVar[tuple[str, ...]] = (
        "model",
        *_SCALARS,
        *(f"{triple}_{axis}" for triple in _TRIPLES for axis in "xyz"),
        *_DEFORMATION,
    )

    @property
    def is_resolved(self) -> bool:
        """Return whether the size of the motion is known, so that no search is needed."""
        return self.scale >= 0

    @property
    def moves_object(self) -> bool:
        """Return whether the object moves on its own, so that a mask is needed."""
        return any(self.object_rotation) or any(self.object_translation) or self.object_deformation > 0

    @property
    def is_deformed(self) -> bool:
        """Return whether object or background are deformed beyond rigid motion."""
        return self.object_deformation > 0 or self.background_deformation > 0

    def to_vector(self) -> Float64[np.ndarray, " columns"]:
        """Return the motion as (columns,) float64 in the order of `names`; `model` is its index in `prior.MODELS`."""
        values = [float(MODELS.index(self.model)), *(float(getattr(self, name)) for name in _SCALARS)]
        for triple in _TRIPLES:
            values += getattr(self, triple)
        values += [float(getattr(self, name)) for name in _DEFORMATION]
        return np.array(values, np.float64)

    @classmethod
    def from_vector(cls, vector: Sequence[float] | np.ndarray) -> "MotionSample":
        """Build a motion from the result of `to_vector`.

        Raises:
            FlowsimError: wrong length, or values that are not finite.
        """
        values = np.asarray(vector, np.float64)
        if values.shape != (len(cls.names),) or not np.isfinite(values).all():
            raise FlowsimError(
                f"motion vector of shape {values.shape}, expected ({len(cls.names)},) finite numbers: "
                + ", ".join(cls.names)
            )
        model = int(values[0])
        if model not in range(len(MODELS)):
            raise FlowsimError(f"motion vector has model {model}, expected 0..{len(MODELS) - 1} ({', '.join(MODELS)})")
        numbers: list[float] = values.tolist()
        scalars: dict[str, Any] = dict(zip(_SCALARS, numbers[1:], strict=False))
        scalars["shot"] = int(scalars["shot"])
        start = 1 + len(_SCALARS)
        triples: dict[str, Any] = {
            name: tuple(numbers[start + 3 * i : start + 3 * i + 3]) for i, name in enumerate(_TRIPLES)
        }
        deformation: dict[str, Any] = dict(zip(_DEFORMATION, numbers[start + 3 * len(_TRIPLES) :], strict=True))
        deformation["wave_seed"] = int(deformation["wave_seed"])
        return cls(model=MODELS[model], **scalars, **triples, **deformation)

    def to_dict(self) -> dict[str, float]:
        """Return the motion as a dictionary from column names to values."""
        return dict(zip(self.names, self.to_vector().tolist(), strict=True))

    @classmethod
    def from_dict(cls, plain: Mapping[str, float]) -> "MotionSample":
        """Build a motion from the result of `to_dict`.

        Raises:
            FlowsimError: a column is missing.
        """
        missing = [name for name in cls.names if name not in plain]
        if missing:
            raise FlowsimError(f"motion lacks {', '.join(missing)}")
        return cls.from_vector([plain[name] for name in cls.names])

    def scaled(self, factor: float, pivot: Triple) -> "MotionSample":
        """Return the resolved motion: this motion times `factor`, with the object's rotation about `pivot`."""
        distance = pivot[2]
        return replace(
            self,
            scale=factor,
            rotation=_times(self.rotation, factor),
            translation=_times(self.translation, factor),
            object_rotation=_times(self.object_rotation, factor),
            object_translation=_times(self.object_translation, factor * distance),
            pivot=pivot,
            object_deformation=self.object_deformation * factor,
            background_deformation=self.background_deformation * factor,
        )

    def matrices(self, height: int, width: int) -> Float64[np.ndarray, "2 12"]:
        """Return [B | k] of background and object for normalised inverse depth (see `projection`).

        Args:
            height: rows of the picture.
            width: columns of the picture.

        Returns:
            (2,12) float64: row 0 for the background, row 1 for the object.
        """
        if self.model == "parallax":
            side = max(height, width)
            shift = projection.shift_matrix((self.translation[0] * side, self.translation[1] * side), self.zero_plane)
            return np.array([shift, shift])
        focal_px = focal_length_px(width, self.fov_deg)
        camera = (projection.rotation_change(self.rotation, np.sinc), self.translation)
        turn = projection.rotation_change(self.object_rotation, np.sinc)
        own = (turn, projection.about(turn, self.pivot, self.object_translation))
        rows = [
            projection.pinhole_matrix(change, t, focal_px) for change, t in (camera, projection.composed(own, camera))
        ]
        return np.array([projection.for_normalized_depth(row, self.far) for row in rows])


def sample_motion(
    prior: MotionPrior, seed: int, sample_id: str, index: int, object_number: int = 1, shot: int | None = None
) -> MotionSample:
    """Draw a motion that depends on these arguments alone, whatever the machine or the order of the draws.

    Args:
        prior: distributions to draw from.
        seed: the run's seed, 0 .. 2**64 - 1.
        sample_id: the photo's stable name.
        index: number of the motion among those of the photo, 0 .. 2**64 - 1.
        object_number: which of the photo's objects is meant, from 1; each has draws of its own.
        shot: take this type of shot of the prior; None = draw it.

    Returns:
        The unresolved motion; `simulate_flow` finds its size.

    Raises:
        FlowsimError: seed or index out of range.
    """
    uniform = _uniform_numbers(seed, sample_id, index, object_number)
    number = prior.shot_at(next(uniform))
    number = number if shot is None else shot
    return _draw_from_shot(prior.shots[number], number, uniform)


def _uniform_numbers(seed: int, sample_id: str, index: int, object_number: int) -> Iterator[float]:
    """Return 24 uniform numbers in [0, 1) of a counter-based generator (Philox), keyed by the arguments."""
    for name, value in (("seed", seed), ("index", index)):
        if not 0 <= value < 2**64:
            raise FlowsimError(f"{name} is {value}, expected an integer from 0 to 2**64 - 1")
    name_key = int.from_bytes(hashlib.blake2b(sample_id.encode(), digest_size=8).digest(), "little")
    counter = np.array([0, 0, object_number - 1, index], np.uint64)
    stream = np.random.Philox(key=np.array([seed, name_key], np.uint64), counter=counter)
    return iter(((stream.random_raw(24) >> np.uint64(11)) * 2.0**-53).tolist())


def photo_number(seed: int, sample_id: str) -> float:
    """Return a uniform number in [0, 1) that a photo has beside the draws of its motions."""
    return next(_uniform_numbers(seed, sample_id, 2**64 - 1, 2**32))


def _draw_from_shot(shot: Shot, number: int, uniform: Iterator[float]) -> MotionSample:
    """Draw an unresolved motion of one type of shot.

    Every quantity takes one uniform number, in a fixed order and whether the shot's model uses it or not: published
    datasets depend on that order.
    """

    def drawn(quantiles: Quantiles) -> float:
        return quantile(quantiles, next(uniform))

    magnitude, fov_deg, far, zero_plane = map(drawn, (shot.magnitude, shot.fov_deg, shot.far, shot.zero_plane))
    direction, follow = math.radians(drawn(shot.direction_deg)), drawn(shot.follow)
    tilt, pan, roll = map(drawn, shot.rotation)
    tx, ty, tz = map(drawn, shot.translation)
    object_rx, object_ry, object_rz = map(drawn, shot.object_rotation)
    object_tx, object_ty, object_tz = map(drawn, shot.object_translation)
    object_deformation, background_deformation, blur = map(
        drawn, (shot.object_deformation, shot.background_deformation, shot.blur)
    )
    wave_seed = int(next(uniform) * 2**53)
    side = -1.0 if next(uniform) >= 0.5 and shot.mirrored else 1.0
    if shot.model == "parallax":
        tilt = pan = roll = tz = follow = 0.0
        object_rx = object_ry = object_rz = object_tx = object_ty = object_tz = 0.0
        tx, ty = math.cos(direction), math.sin(direction)
    # A pan by an angle moves the picture as a translation by that part of the distance moves an object.
    return MotionSample(
        model=shot.model,
        shot=number,
        magnitude=magnitude,
        percentile=shot.percentile,
        largest=shot.largest,
        fov_deg=fov_deg,
        far=far,
        zero_plane=zero_plane,
        scale=-1.0,
        rotation=(tilt + follow * object_ty, side * (pan - follow * object_tx), side * roll),
        translation=(side * tx, ty, tz),
        object_rotation=(object_rx, side * object_ry, side * object_rz),
        object_translation=(side * object_tx, object_ty, object_tz),
        pivot=(0.0, 0.0, 0.0),
        object_deformation=object_deformation,
        background_deformation=background_deformation,
        blur=blur,
        wave_seed=wave_seed,
    )


def _times(triple: Triple, factor: float) -> Triple:
    """Return a vector times a number."""
    return triple[0] * factor, triple[1] * factor, triple[2] * factor
