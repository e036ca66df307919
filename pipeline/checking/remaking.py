"""Flow and frames made again from the motions of a dataset, and compared with the stored ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowsim import FlowsimError, MotionSample, simulate_flow
from pipeline.dataset import schema
from pipeline.dataset.clips import arrays_of_clip, clip_of_row, motions_of_row

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
    inside = {
        name: values if name == "window" else values[schema.picture_part(name, *size)]
        for name, values in pictures.items()
    }
    try:
        if frames > 1:
            return _compare_clips(inside, motions, frames)
        depth = schema.decode_inverse_depth(inside["inverse_depth"])
        for index, stored in enumerate(inside["flow"]):
            again = simulate_flow(depth, inside["mask"] > 0, MotionSample.from_vector(motions[index]))
            difference = _flow_difference(stored, schema.encode_flow(again.flow, again.valid), UNKNOWN_TOLERANCE)
            if difference:
                return f"flow {index}: {difference}"
    except FlowsimError as error:
        return f"flow cannot be made again ({error})"
    return ""


def _compare_clips(inside: Mapping[str, NDArray[Any]], motions: NDArray[np.float64], frames: int) -> str:
    """Make the clips of one sample again; return a description of the first difference, or an empty text."""
    labels = inside["labels"] if "labels" in inside else (inside["mask"] > 0).astype(np.uint8)
    drawn = [motions_of_row(parameters, labels) for parameters in motions]
    clips = clip_of_row(inside["image"], labels, inside["opacity"], inside["inverse_depth"], drawn, frames)
    for index, clip in enumerate(clips):
        for name, again in arrays_of_clip(clip).items():
            stored = inside[name][index]
            if name.endswith("flow"):
                difference = _flow_difference(stored, again, FRAME_TOLERANCE)
            else:
                tolerance = LEVEL_TOLERANCE if name in ("next_image", "window") else 0
                share = float((np.abs(stored.astype(int) - again) > tolerance).mean())
                difference = f"{share:.2%} of its values differ" if share > FRAME_TOLERANCE else ""
            if difference:
                return f"{name} {index}: {difference}"
    return ""


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
