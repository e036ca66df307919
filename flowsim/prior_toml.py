"""Motion priors as TOML files for people to read and edit."""

import json

import numpy as np

from flowsim.prior import MotionPrior, PerAxis, Quantiles, Shot


def to_toml(prior: MotionPrior, about: str) -> str:
    """Return a prior as TOML with a comment that describes each type of shot; default values are left out.

    Args:
        prior: prior to write.
        about: comment for the head of the file, for example when and from what the prior was made.

    Returns:
        TOML text; once parsed, `MotionPrior.from_dict` builds the same prior from it.
    """
    lines = [f"# {line}".rstrip() for line in about.splitlines()]
    lines += [f"name = {json.dumps(prior.name)}"]
    if prior.object_area:
        lines += [f"object_area = {json.dumps(prior.object_area)}"]
    total = sum(shot.weight for shot in prior.shots)
    for number, (shot, plain) in enumerate(zip(prior.shots, prior.to_dict()["shots"], strict=True)):
        lines += [
            "",
            f"# Shot {number}, {shot.weight / total:.0%}: {in_words(shot)}; flow {_size_in_words(shot)}.",
            "[[shots]]",
        ]
        usual = Shot()
        lines += [
            f"{key} = {json.dumps(value)}" for key, value in plain.items() if getattr(shot, key) != getattr(usual, key)
        ]
    return "\n".join(lines) + "\n"


def in_words(shot: Shot) -> str:
    """Describe a rigid type of shot in words."""
    camera = _size(shot.rotation) + 0.3 * _size(shot.translation)
    own = _size(shot.object_translation) + 0.3 * _size(shot.object_rotation)
    pan, across = _middle(shot.rotation[1]), _middle(shot.object_translation[0])
    bends = _mean_size(shot.object_deformation)
    if camera < 0.35 * (own + bends):
        what = "the camera nearly stands still, the object moves"
    elif own + bends < 0.35 * camera:
        what = "the camera moves, the object hardly moves on its own"
    elif pan * across < 0 and abs(across) > 0.2 * abs(pan):
        what = "the camera turns after the object"
    else:
        what = "camera and object both move"
    if bends > 0.3 * (own + camera):
        what += ", the object bends"
    if _mean_size(shot.background_deformation) > 0.3 * (own + camera):
        what += ", the background moves on its own"
    return what


def _size_in_words(shot: Shot) -> str:
    """Describe the median size of the flow in words."""
    return f"{_middle(shot.magnitude):.1%} of the longer side"


def _size(axes: PerAxis) -> float:
    """Return the length of the vector of mean absolute values along three axes."""
    return float(np.hypot.reduce([_mean_size(axis) for axis in axes]))


def _mean_size(quantiles: Quantiles) -> float:
    """Return the mean absolute value of the quantiles."""
    return float(np.abs(quantiles).mean())


def _middle(quantiles: Quantiles) -> float:
    """Return the median of the quantiles."""
    return float(np.median(quantiles))
