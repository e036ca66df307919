"""The dataset's arrays: names, types, units, chunks and shards. The one place that knows the format.

A shard holds one task (unit of writing). A chunk holds one sample (unit of reading) of the images, masks, depths and
flows; arrays of a few numbers per sample have one chunk per shard. All arrays share the first
axis, `sample`; a row is one photo of the listing. Fixed-point arrays carry the CF attributes `scale_factor` and
`add_offset`, so that xarray decodes them; `_FillValue` marks what is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

SCHEMA_VERSION = 2

USABLE, FAILED, NOT_MADE = 0, 1, 255
INVERSE_DEPTH_STEPS = 4095
"""Inverse depth is stored in 12 bits: a step moves a point with 30 px of parallax by 1/136 px."""
FLOW_STEPS_PER_PIXEL = 64
"""Flow is stored in steps of 1/64 px as in KITTI's files: +-511 px, error at most 1/128 px."""
UNKNOWN_FLOW = -32768
LARGEST_FLOW_PX = 32767 / FLOW_STEPS_PER_PIXEL


class ShardedLayout(Protocol):
    """What a store has to know of a dataset's sizes; a frozen dataclass of plain values."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def samples_per_shard(self) -> int:
        """Rows of a shard."""

    @property
    def shard_count(self) -> int:
        """Number of shards."""

    def rows(self, shard: int) -> range:
        """Return the rows of one shard."""


@dataclass(frozen=True)
class Layout:
    """The sizes that all shapes follow from: `samples` rows, `motions` flows each, on a `side` x `side` canvas.

    Attributes:
        samples: rows.
        motions: flow fields per row.
        side: of the canvas, px.
        motion_parameters: names of the parameters of a motion.
        samples_per_shard: rows that one file holds.
        imported_longest_px: None where flow was simulated. A number where it was read back from colour pictures, which
            hold direction and relative length alone: the length in px that the longest vector of each picture was
            given. The pictures are kept beside it, but there is no inverse depth and no motion then.
    """

    samples: int
    motions: int
    side: int
    motion_parameters: tuple[str, ...]
    samples_per_shard: int
    imported_longest_px: float | None = None

    @property
    def is_simulated(self) -> bool:
        """Whether flow was simulated, so that inverse depth and motion are there."""
        return self.imported_longest_px is None

    @property
    def shard_count(self) -> int:
        """Number of shards."""
        return -(-self.samples // self.samples_per_shard)

    def rows(self, shard: int) -> range:
        """Return the rows of one shard; the last shard may have fewer."""
        start = shard * self.samples_per_shard
        return range(start, min(start + self.samples_per_shard, self.samples))


@dataclass(frozen=True)
class ArraySpec:
    """One array of the dataset. `dtype` is a numpy name or `string`; a small array has one chunk per shard of rows."""

    dimensions: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    fill_value: Any
    attributes: Mapping[str, Any]
    has_sample_chunks: bool = True


def array_specs(layout: Layout) -> dict[str, ArraySpec]:
    """Return name -> specification of every array of a dataset."""
    n, k, side = layout.samples, layout.motions, layout.side
    flow_meaning = (
        "simulated optical flow"
        if layout.is_simulated
        else "optical flow read back from colour pictures, direction and relative length alone: the longest vector of "
        f"each picture has {layout.imported_longest_px:g} px"
    )
    canvas = "images at the top left of the canvas, zero padding; true height and width in `size`"
    specs = {
        "image": ArraySpec(
            ("sample", "row", "column", "rgb"),
            (n, side, side, 3),
            "uint8",
            0,
            {"description": "photo, RGB, sRGB values", "range": [0, 255], "layout": canvas},
        ),
        "mask": ArraySpec(
            ("sample", "row", "column"),
            (n, side, side),
            "uint8",
            0,
            {
                "description": "salient object",
                "flag_values": [0, 255],
                "flag_meanings": "background object",
                "layout": canvas,
            },
        ),
        "inverse_depth": ArraySpec(
            ("sample", "row", "column"),
            (n, side, side),
            "uint16",
            0,
            {
                "description": "relative inverse depth of the depth model, normalised per photo: "
                "1 = nearest, 0 = farthest",
                "units": "1",
                "range": [0, 1],
                "scale_factor": 1 / INVERSE_DEPTH_STEPS,
                "add_offset": 0.0,
                "layout": canvas,
            },
        ),
        "flow": ArraySpec(
            ("sample", "motion_index", "row", "column", "uv"),
            (n, k, side, side, 2),
            "int16",
            0,
            {
                "description": f"{flow_meaning}: [..., 0] = u to the right, [..., 1] = v down; "
                "flow at p points to where p goes in the next frame",
                "units": "pixel",
                "range": [-LARGEST_FLOW_PX, LARGEST_FLOW_PX],
                "scale_factor": 1 / FLOW_STEPS_PER_PIXEL,
                "add_offset": 0.0,
                "_FillValue": UNKNOWN_FLOW,
                "layout": canvas,
            },
        ),
        "flow_rgb": ArraySpec(
            ("sample", "motion_index", "row", "column", "rgb"),
            (n, k, side, side, 3),
            "uint8",
            0,
            {
                "description": "the flow picture as it was, which networks see; black = unknown flow",
                "range": [0, 255],
                "layout": canvas,
            },
        ),
        "size": ArraySpec(
            ("sample", "height_width"),
            (n, 2),
            "int32",
            0,
            {"description": "true height and width", "units": "pixel"},
            has_sample_chunks=False,
        ),
        "id": ArraySpec(
            ("sample",), (n,), "string", "", {"description": "sample id, from the file's name"}, has_sample_chunks=False
        ),
        "status": ArraySpec(
            ("sample",),
            (n,),
            "uint8",
            NOT_MADE,
            {"flag_values": [USABLE, FAILED, NOT_MADE], "flag_meanings": "usable failed not_made"},
            has_sample_chunks=False,
        ),
        "motion": ArraySpec(
            ("sample", "motion_index", "parameter"),
            (n, k, len(layout.motion_parameters)),
            "float64",
            0.0,
            {
                "description": "drawn parameters that reproduce `flow` from `inverse_depth` and `mask`",
                "parameters": list(layout.motion_parameters),
            },
            has_sample_chunks=False,
        ),
    }
    absent = ("flow_rgb",) if layout.is_simulated else ("inverse_depth", "motion")
    return {name: spec for name, spec in specs.items() if name not in absent}


def empty_shard(layout: Layout, rows: int) -> dict[str, NDArray[Any]]:
    """Return zeroed arrays for `rows` samples; their status says failed until a sample is put in."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, spec in array_specs(layout).items():
        dtype: Any = object if spec.dtype == "string" else spec.dtype
        shape = (rows, *spec.shape[1:])
        arrays[name] = np.full(shape, spec.fill_value, dtype) if spec.fill_value != 0 else np.zeros(shape, dtype)
    arrays["status"][:] = FAILED
    return arrays


def encode_inverse_depth(inverse_depth: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Quantise inverse depth (h, w) in [0, 1] to steps of 1/4095."""
    steps: Any = cv2.multiply(inverse_depth, INVERSE_DEPTH_STEPS, dtype=cv2.CV_16U)  # one pass, rounds half to even
    return steps  # type: ignore[no-any-return]


def decode_inverse_depth(steps: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Undo `encode_inverse_depth`: float32 in [0, 1]."""
    return steps * np.float32(1 / INVERSE_DEPTH_STEPS)


def encode_flow(flow_px: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.int16]:
    """Quantise flow (h, w, 2) to steps of 1/64 px; invalid (h, w) or unrepresentable vectors become `UNKNOWN_FLOW`."""
    steps: Any = cv2.multiply(flow_px, FLOW_STEPS_PER_PIXEL, dtype=cv2.CV_16S)  # one pass, rounds half to even
    is_small = flow_px.max() < LARGEST_FLOW_PX and flow_px.min() > -LARGEST_FLOW_PX  # false with NaN
    if not (is_small and valid.all()):
        steps[~(valid & (np.abs(flow_px) < LARGEST_FLOW_PX).all(-1))] = UNKNOWN_FLOW
    return steps  # type: ignore[no-any-return]


def decode_flow(steps: NDArray[np.int16]) -> NDArray[np.float32]:
    """Undo `encode_flow`: float32 pixels (h, w, 2), NaN where unknown."""
    flow_px = steps.astype(np.float32)
    flow_px *= np.float32(1 / FLOW_STEPS_PER_PIXEL)
    if steps.min() == UNKNOWN_FLOW:
        flow_px[steps == UNKNOWN_FLOW] = np.nan
    return flow_px
