"""What the page says about a dataset and about one sample, as plain values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from flowsim import MotionSample
from flowsim.prior import MODELS
from pipeline.dataset.provenance import origin
from pipeline.dataset.schema import FLOW_STEPS_PER_PIXEL, UNKNOWN_FLOW, USABLE
from pipeline.files.ids import shown
from pipeline.redaction import redact
from pipeline.showing.status import frames_in_words
from pipeline.viewing.catalogue import Catalogue, kind_in_words
from pipeline.viewing.pictures import NoSuchPicture, layers

Fact = tuple[str, str]
"""A name and a value, both in words."""


def facts_of_dataset(catalogue: Catalogue) -> dict[str, Any]:
    """Return name, origin and sizes of a dataset, and the kinds of pictures and motions that it has."""
    store, layout = catalogue.store, catalogue.store.layout
    prior = _prior(catalogue)
    frames = [] if layout.frames == 1 else [("", frames_in_words(layout))]
    facts = [*origin(store.attributes), *frames, ("canvas", f"{layout.side} × {layout.side} px")]
    return {
        "name": shown(store.name.rstrip("/").rpartition("/")[2]),
        "place": shown(store.name),
        "facts": [(name, shown(redact(text))) for name, text in facts],
        "rows": layout.samples,
        "motions": layout.motions,
        "frames": layout.frames,
        "layers": layers(store),
        "kinds": [kind_in_words(kind, prior) for kind in catalogue.kinds()],
        "lengths_are_relative": not layout.is_simulated,
        "steps_per_px": FLOW_STEPS_PER_PIXEL,
        "unknown": UNKNOWN_FLOW,
    }


def facts_of_sample(catalogue: Catalogue, row: int) -> dict[str, Any]:
    """Return id, size and motions of a sample, or why it could not be used.

    Raises:
        NoSuchPicture: there is no such row, or it is not made yet.
        PipelineError: the dataset cannot be read.
    """
    check_made(catalogue, row)
    store, layout = catalogue.store, catalogue.store.layout
    height, width = map(int, catalogue.sizes[row])
    facts: dict[str, Any] = {
        "row": row,
        "id": shown(str(store.read("id", row))),
        "height": height,
        "width": width,
        "failure": None,
        "object_share": None,
        "motions": [],
        "windows": [],
    }
    if catalogue.states[row] != USABLE:
        failures = store.commits.read(row // layout.samples_per_shard)["failures"]
        why = [shown(f"{one['message']} ({one['reason']})") for one in failures if one["row"] == row]
        return facts | {"failure": why[0] if why else "no reason is recorded"}
    (mask,) = catalogue.reader.read("mask", [row])
    facts["object_share"] = float((mask[:height, :width] > 0).mean())
    if layout.is_simulated:
        stored = store.read("motion", row)
        facts["motions"] = [_motion(each, layout.motion_parameters, _prior(catalogue)) for each in stored]
    if layout.frames > 1:
        facts["windows"] = store.read("window", row).tolist()
    return facts


def check_made(catalogue: Catalogue, row: int) -> None:
    """Raise if a row does not exist or is not made yet.

    Raises:
        NoSuchPicture: it does not.
    """
    count = len(catalogue.states)
    if not 0 <= row < count:
        raise NoSuchPicture(f"There is no row {row}: the dataset has rows 0 to {count - 1}.")
    if row not in catalogue:
        raise NoSuchPicture(f"Row {row} is not made yet.")


def _prior(catalogue: Catalogue) -> dict[str, Any] | None:
    """Return the motion model of a dataset as its attributes keep it."""
    prior: dict[str, Any] | None = catalogue.store.attributes["settings"].get("motion_prior")
    return prior


def _motion(stored: np.ndarray, names: Sequence[str], prior: dict[str, Any] | None) -> list[Fact]:
    """Return one motion in words: that of the camera, then those of the objects.

    Args:
        stored: (parameters,), or (objects, parameters) with zeros for absent objects.
        names: names of the parameters.
        prior: the motion model.
    """
    vectors = stored.reshape(-1, stored.shape[-1])
    if tuple(names) != MotionSample.names:  # of another version
        return [(name, _number(value)) for name, value in zip(names, vectors[0].tolist(), strict=True)]
    objects = [MotionSample.from_vector(vector) for vector in vectors if vector.any()]
    if not objects:
        return []
    first = objects[0]
    kind = kind_in_words((MODELS.index(first.model), first.shot), prior)
    facts = [
        ("formula", "parallax" if first.model == "parallax" else "pinhole camera"),
        *([("type of shot", kind.removeprefix("shot "))] if kind.startswith("shot ") else []),
        (f"{first.percentile:g} % of the pixels move", f"up to {_percent(first.magnitude)} of the longer side"),
    ]
    facts += _parallax(first) if first.model == "parallax" else _camera(first)
    for number, motion in enumerate(objects, start=1):
        facts += _object(motion, "object" if len(objects) == 1 else f"object {number}")
    if first.background_deformation:
        facts.append(("background bends by", f"{_percent(first.background_deformation)} of the longer side"))
    if first.blur:
        facts.append(("flow is softened by", f"{_percent(first.blur)} of the longer side"))
    return facts


def _parallax(motion: MotionSample) -> list[Fact]:
    x, y, _ = motion.translation
    return [
        ("direction of near points", f"{math.degrees(math.atan2(y, x)):.0f}° (0° right, 90° down)"),
        ("depth that stands still", f"{_number(motion.zero_plane)} (inverse depth, 1 = nearest)"),
    ]


def _camera(motion: MotionSample) -> list[Fact]:
    return [
        ("field of view", f"{motion.fov_deg:.0f}°"),
        ("farthest depth", f"{_number(motion.far)} times the nearest"),
        ("camera turns", _degrees(motion.rotation, ("tilt", "pan", "roll"))),
        ("camera moves", _nearest_depths(motion.translation)),
    ]


def _object(motion: MotionSample, name: str) -> list[Fact]:
    if not motion.moves_object:
        return [(name, "moves with the scene")]
    facts = [
        (f"{name} turns", _degrees(motion.object_rotation, ("about x", "y", "z"))),
        (f"{name} moves", _nearest_depths(motion.object_translation)),
    ]
    if motion.object_deformation:
        facts.append((f"{name} bends by", f"{_percent(motion.object_deformation)} of the longer side"))
    return facts


def _percent(share: float) -> str:
    return f"{_number(100 * share)} %"


def _degrees(angles_rad: Sequence[float], names: Sequence[str]) -> str:
    return ", ".join(f"{name} {_number(math.degrees(angle))}°" for name, angle in zip(names, angles_rad, strict=True))


def _nearest_depths(shift: Sequence[float]) -> str:
    parts = ", ".join(f"{name} {_number(value)}" for name, value in zip("xyz", shift, strict=True))
    return f"{parts} (in units of the nearest depth)"


def _number(value: float) -> str:
    """Return a number with two digits that count, and a true minus sign."""
    small = 0.0 if abs(value) < 5e-5 else value
    return f"{small:.2g}".replace("-", "−") if abs(small) < 100 else f"{small:.0f}".replace("-", "−")
