"""Flow and frames made again from the motions of a dataset, and compared with the stored ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowsim import FlowsimError
from pipeline.dataset import schema
from pipeline.dataset.regeneration import make_arrays

FLOW_TOLERANCE_PX = 1 / schema.FLOW_STEPS_PER_PIXEL
"""Largest difference between stored and repeated flow: one step of storage, because processors round differently."""
UNKNOWN_TOLERANCE = 1e-4
"""Largest share of pixels that are unknown in only one of both flows: points at the edge of the camera's view."""
FRAME_TOLERANCE = 1e-3
"""Largest share of a frame's pixels that may differ: another processor may see another triangle at an edge."""
LEVEL_TOLERANCE = 1
"""Largest difference of colours, in levels, that counts as rounding."""


def compare_flows(
    pictures: Mapping[str, NDArray[Any]], motions: NDArray[np.float64], size: tuple[int, int], frames: int
) -> str:
    """Make flow and frames of one sample again; return a description of the first difference, or an empty text.

    Args:
        pictures: name -> values of one row, as stored.
        motions: parameters of its motions, (k, parameters) or (k, objects, parameters).
        size: true height and width.
        frames: number of frames of a sample, the photo included.
    """
    inside = _without_padding(pictures, size)
    try:
        made = make_arrays(inside, motions, frames)
    except FlowsimError as error:
        return f"flow cannot be made again ({error})"
    unknown_tolerance = UNKNOWN_TOLERANCE if frames == 1 else FRAME_TOLERANCE
    for index in range(len(motions)):
        for name, every in made.items():
            stored, again = inside[name][index], every[index]
            if name.endswith("flow"):
                difference = _flow_difference(stored, again, unknown_tolerance)
            else:
                tolerance = LEVEL_TOLERANCE if name in ("next_image", "window") else 0
                share = float((np.abs(stored.astype(int) - again) > tolerance).mean())
                difference = f"{share:.2%} of its values differ" if share > FRAME_TOLERANCE else ""
            if difference:
                return f"{name} {index}: {difference}"
    return ""


def names_of_other_bits(
    pictures: Mapping[str, NDArray[Any]], motions: NDArray[np.float64], size: tuple[int, int], frames: int
) -> list[str]:
    """Make flow and frames of one sample again; return the names of the arrays that are not equal to the bit.

    The arguments are those of `compare_flows`.

    Raises:
        FlowsimError: the values are no picture that can be moved.
    """
    inside = _without_padding(pictures, size)
    made = make_arrays(inside, motions, frames)
    return [name for name, values in made.items() if not np.array_equal(values, inside[name])]


def _without_padding(pictures: Mapping[str, NDArray[Any]], size: tuple[int, int]) -> dict[str, NDArray[Any]]:
    return {
        name: values if name == "window" else np.ascontiguousarray(values[schema.picture_part(name, *size)])
        for name, values in pictures.items()
    }


def _flow_difference(stored: NDArray[np.int16], again: NDArray[np.int16], unknown_tolerance: float) -> str:
    """Return a description of the difference between stored and repeated flow, or an empty text."""
    found, expected = schema.decode_flow(stored), schema.decode_flow(again)
    difference = np.abs(found - expected).max(-1)
    unknown_in_one = np.isnan(found).any(-1) != np.isnan(expected).any(-1)
    if unknown_in_one.mean() > unknown_tolerance:
        return f"{unknown_in_one.sum()} pixels are unknown in the stored or in the repeated flow alone"
    largest = float(np.nanmax(difference, initial=0.0))
    if largest > FLOW_TOLERANCE_PX * 1.001:
        return (
            f"differs by up to {largest:.2f} px from the flow that its motion makes; tolerance {FLOW_TOLERANCE_PX:.4f}"
        )
    return ""
