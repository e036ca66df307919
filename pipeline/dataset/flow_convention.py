"""The flow convention, version 1: attributes that say how an array of optical flow is to be read.

`docs/reference/flow-convention.md` defines it for any writer and reader. An array that follows it names it in
`zarr_conventions`, as the Zarr conventions specification prescribes, and has attributes that begin with `flow:`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

REGISTERED = "zarr_conventions"
PREFIX = "flow:"
CONVENTION = {
    "uuid": "5fd9bb3d-2c23-4fa7-906d-5ebeee1d519d",
    "name": PREFIX,
    "description": "Components, unit, direction, validity and occlusion of optical flow",
}
"""The convention as `zarr_conventions` names it."""
COMPONENT_DIMENSION = "uv"


def flow_attributes(
    origin: Literal["simulated", "estimated"] | None,
    unknown: int,
    *,
    unit: Literal["pixel", "relative"] = "pixel",
    direction: Literal["forward", "backward"] = "forward",
    time_step: int | None = 1,
    occlusion: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the attributes of an array of flow with the dimensions row, column and uv, among others.

    Args:
        origin: how the flow was made; None if that is not known.
        unknown: stored value of both components where the flow is unknown.
        unit: `relative` if only the direction and the length relative to other vectors of a field are known.
        direction: whether vectors lead to a later or to an earlier frame.
        time_step: number of frames between the two; None if the array does not fix it.
        occlusion: what `occlusion_in` returns; None if no array says what is hidden.
    """
    attributes = {
        "version": "1",
        "component_dimension": COMPONENT_DIMENSION,
        "components": ["column", "row"],
        "unit": unit,
        "direction": direction,
        "time_step": time_step,
        "unknown": {"stored_value": unknown},
        "occlusion": None if occlusion is None else dict(occlusion),
        "origin": origin,
    }
    named = {f"{PREFIX}{name}": value for name, value in attributes.items() if value is not None}
    return {REGISTERED: [CONVENTION], **named}


def occlusion_in(array: str, first: Mapping[str, int]) -> dict[str, Any]:
    """Return the attribute that names the array of occlusion of a flow.

    Args:
        array: name of the array beside that of the flow.
        first: dimension -> its index in the array of occlusion that belongs to index 0 of the flow.
    """
    return {"array": array, "visible": [0], "hidden": [1], "outside": [2], "first": dict(first)}


def without_convention(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes as they were written before the convention existed."""
    return {name: value for name, value in attributes.items() if name != REGISTERED and not name.startswith(PREFIX)}
