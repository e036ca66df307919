"""The arrays of a dataset: their names, types, units, chunks and shards.

A shard is written by one task. A chunk of images, masks, depths and flows holds one sample, which is read at once;
arrays of a few numbers per sample have one chunk per shard. All arrays share the first axis, `sample`; a row is one
listed photo. Fixed-point arrays carry the CF attributes `scale_factor` and `add_offset`, so that xarray decodes them;
`_FillValue` marks unknown values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.dataset.array_spec import ArraySpec, InShards
from pipeline.dataset.flow_convention import COMPONENT_DIMENSION, flow_attributes, occlusion_in

SCHEMA_VERSION = 3
OLDER_VERSIONS = frozenset({2})
"""Versions that are read and continued as well: version 2 has neither further frames nor several objects."""
VERSION_WITHOUT_IMAGES = 4
"""Version of datasets of which some arrays are left out, so that earlier versions of fakeflow refuse them."""
MADE_FROM_OTHERS = (
    *("image", "flow", "later_flow", "next_image", "next_labels"),
    *("occlusion", "backward_flow", "backward_occlusion"),
)
"""Arrays that can be left out, because the others and the photos are enough to make them again."""
SHOW_PHOTOS = frozenset({"image", "next_image"})
"""Those of them that show the photo; all others can be made without it."""

USABLE, FAILED, NOT_MADE = 0, 1, 255
INVERSE_DEPTH_STEPS = 4095
"""Inverse depth is stored in 12 bits: a step moves a point with 30 px of parallax by 1/136 px."""
FLOW_STEPS_PER_PIXEL = 64
"""Flow is stored in steps of 1/64 px as in KITTI's files: +-511 px, error at most 1/128 px."""
UNKNOWN_FLOW = -32768
LARGEST_FLOW_PX = 32767 / FLOW_STEPS_PER_PIXEL
_CANVAS = "images at the top left of the canvas, zero padding; true height and width in `size`"
SHOWS_NOTHING = 255
"""Label of a pixel that shows nothing of the photo: what moves there comes from outside of it."""
_VECTORS = "[..., 0] = u to the right, [..., 1] = v down; flow at p points to where p goes in the next frame"


@dataclass(frozen=True)
class Layout(InShards):
    """The sizes of a dataset of photos, from which the shapes of all arrays follow.

    Attributes:
        samples: number of rows.
        motions: number of flow fields per row.
        side: side of the square canvas, in pixels.
        motion_parameters: names of the parameters of a motion.
        samples_per_shard: number of rows that one file holds.
        imported_longest_px: None where flow was simulated. A number where it was read back from colour pictures, which
            hold direction and relative length alone: the length in px that the longest vector of each picture was
            given. The pictures are kept beside it, but there is no inverse depth and no motion then.
        frames: number of frames of a sample, the photo included; with 1 there is the photo alone.
        objects: largest number of objects of a photo that move on their own; with 1 the mask is the object.
        left_out: names of arrays that are not stored but made again when they are read.
    """

    samples: int
    motions: int
    side: int
    motion_parameters: tuple[str, ...]
    samples_per_shard: int
    imported_longest_px: float | None = None
    frames: int = 1
    objects: int = 1
    left_out: tuple[str, ...] = ()

    @property
    def is_simulated(self) -> bool:
        """True if flow was simulated, so that there are inverse depth and motion."""
        return self.imported_longest_px is None


def array_specs(layout: Layout) -> dict[str, ArraySpec]:
    """Return name -> specification of every array of a dataset of photos."""
    specs = {**_photo_specs(layout), **_flow_specs(layout), **_row_specs(layout), **_frame_specs(layout)}
    absent = {"flow_rgb"} if layout.is_simulated else {"inverse_depth", "motion"}
    absent |= {"labels"} if layout.objects == 1 else set()
    absent |= set(layout.left_out)
    return {name: spec for name, spec in specs.items() if name not in absent}


def _photo_specs(layout: Layout) -> dict[str, ArraySpec]:
    """Return the arrays that hold a photo, its mask and its depth."""
    n, side = layout.samples, layout.side
    pixels = ("sample", "row", "column")
    depth = {
        "description": "relative inverse depth of the depth model, normalised per photo: 1 = nearest, 0 = farthest",
        "units": "1",
        "range": [0, 1],
        "scale_factor": 1 / INVERSE_DEPTH_STEPS,
        "add_offset": 0.0,
        "layout": _CANVAS,
    }
    return {
        "image": _picture((*pixels, "rgb"), (n, side, side, 3), "photo, RGB, sRGB values", {"range": [0, 255]}),
        "mask": _picture(
            pixels, (n, side, side), "salient object", {"flag_values": [0, 255], "flag_meanings": "background object"}
        ),
        "labels": _picture(
            pixels, (n, side, side), "object that each pixel belongs to, 1, 2, ...; 0 = background", {"range": [0, 254]}
        ),
        "inverse_depth": ArraySpec(pixels, (n, side, side), "uint16", 0, depth),
    }


def _flow_specs(layout: Layout) -> dict[str, ArraySpec]:
    """Return the arrays that hold the flow of the photo."""
    n, k, side = layout.samples, layout.motions, layout.side
    pixels = ("sample", "motion_index", "row", "column")
    meaning = (
        "simulated optical flow"
        if layout.is_simulated
        else "optical flow read back from colour pictures, direction and relative length alone: the longest vector of "
        f"each picture has {layout.imported_longest_px:g} px"
    )
    pictures = "the flow picture as it was, which networks see; black = unknown flow"
    occlusion = None if layout.frames == 1 else occlusion_in("occlusion", {"step": 0})
    convention = (
        flow_attributes("simulated", UNKNOWN_FLOW, occlusion=occlusion)
        if layout.is_simulated
        else flow_attributes(None, UNKNOWN_FLOW, unit="relative")
    )
    return {
        "flow": _flow(pixels, (n, k, side, side), f"{meaning}: {_VECTORS}", convention),
        "flow_rgb": _picture((*pixels, "rgb"), (n, k, side, side, 3), pictures, {"range": [0, 255]}),
    }


def _frame_specs(layout: Layout) -> dict[str, ArraySpec]:
    """Return the arrays that hold the frames after the photo; step t leads from frame t to frame t + 1."""
    if layout.frames == 1:
        return {}
    n, k, steps, side = layout.samples, layout.motions, layout.frames - 1, layout.side
    pixels, shape = ("sample", "motion_index", "step", "row", "column"), (n, k, steps, side, side)
    fates = {"flag_values": [0, 1, 2], "flag_meanings": "visible hidden leaves"}
    numbers = {"flag_values": [0, SHOWS_NOTHING], "flag_meanings": "background nothing_of_the_photo"}
    backward = flow_attributes(
        "simulated", UNKNOWN_FLOW, direction="backward", occlusion=occlusion_in("backward_occlusion", {"step": 0})
    )
    later = flow_attributes("simulated", UNKNOWN_FLOW, occlusion=occlusion_in("occlusion", {"step": 1}))
    window = {
        "description": "part of the picture in which all frames show nothing but the photo, where the motion allows it",
        "edges": ["first row", "row after the last", "first column", "column after the last"],
        "units": "pixel",
    }
    specs = {
        "opacity": _picture(("sample", "row", "column"), (n, side, side), "opacity of objects", {"range": [0, 255]}),
        "next_image": _picture((*pixels, "rgb"), (*shape, 3), "frame that the step leads to", {"range": [0, 255]}),
        "next_labels": _picture(pixels, shape, "object that each pixel of that frame shows, 1, 2, ...", numbers),
        "occlusion": _picture(pixels, shape, "what becomes of the pixels of the frame before the step", fates),
        "backward_flow": _flow(
            pixels, shape, f"flow from the frame after the step to the one before: {_VECTORS}", backward
        ),
        "backward_occlusion": _picture(
            pixels, shape, "where the pixels of the frame after the step were; hidden = the step uncovers them", fates
        ),
        "window": ArraySpec(("sample", "motion_index", "edge"), (n, k, 4), "int32", 0, window, has_sample_chunks=False),
    }
    if steps > 1:
        specs["later_flow"] = _flow(
            pixels, (n, k, steps - 1, side, side), f"flow of steps 2, 3, ...: {_VECTORS}", later
        )
    return specs


def _picture(
    dimensions: tuple[str, ...], shape: tuple[int, ...], description: str, attributes: Mapping[str, Any]
) -> ArraySpec:
    return ArraySpec(dimensions, shape, "uint8", 0, {"description": description, **attributes, "layout": _CANVAS})


def _flow(
    dimensions: tuple[str, ...], shape: tuple[int, ...], description: str, convention: Mapping[str, Any]
) -> ArraySpec:
    attributes = {
        "description": description,
        "units": "pixel",
        "range": [-LARGEST_FLOW_PX, LARGEST_FLOW_PX],
        "scale_factor": 1 / FLOW_STEPS_PER_PIXEL,
        "add_offset": 0.0,
        "_FillValue": UNKNOWN_FLOW,
        "layout": _CANVAS,
        **convention,
    }
    return ArraySpec((*dimensions, COMPONENT_DIMENSION), (*shape, 2), "int16", 0, attributes)


def _row_specs(layout: Layout) -> dict[str, ArraySpec]:
    """Return the arrays that hold a few values for each row."""
    n, k = layout.samples, layout.motions
    of_objects, number = ((), ()) if layout.objects == 1 else (("object",), (layout.objects,))
    return {
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
            ("sample", "motion_index", *of_objects, "parameter"),
            (n, k, *number, len(layout.motion_parameters)),
            "float64",
            0.0,
            {
                "description": "drawn parameters that reproduce `flow` from `inverse_depth` and `mask`",
                "parameters": list(layout.motion_parameters),
            },
            has_sample_chunks=False,
        ),
    }


def picture_part(name: str, height: int, width: int) -> tuple[slice, ...]:
    """Return the index of a sample's own pixels in one row of an array of pictures, without the padding.

    Args:
        name: name of the array; its rows may have axes of motions and of steps before those of the pixels.
        height: true height of the sample.
        width: true width of the sample.
    """
    if name in ("flow", "flow_rgb"):
        leading = 1
    else:
        leading = 2 if name.startswith(("next_", "backward_", "later_")) or name == "occlusion" else 0
    return (*[slice(None)] * leading, slice(height), slice(width))


def empty_shard(layout: Layout, rows: int) -> dict[str, NDArray[Any]]:
    """Return arrays of fill values for `rows` samples, with the status `FAILED`."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, spec in array_specs(layout).items():
        dtype: Any = object if spec.dtype == "string" else spec.dtype
        shape = (rows, *spec.shape[1:])
        arrays[name] = np.full(shape, spec.fill_value, dtype) if spec.fill_value != 0 else np.zeros(shape, dtype)
    arrays["status"][:] = FAILED
    return arrays


def encode_inverse_depth(inverse_depth: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Quantise inverse depth (h, w) in [0, 1] to steps of 1/4095."""
    import cv2

    steps: Any = cv2.multiply(inverse_depth, INVERSE_DEPTH_STEPS, dtype=cv2.CV_16U)  # one pass, rounds half to even
    return steps  # type: ignore[no-any-return]


def decode_inverse_depth(steps: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return the inverse depth, float32 in [0, 1], that `encode_inverse_depth` quantised."""
    return steps * np.float32(1 / INVERSE_DEPTH_STEPS)


def encode_flow(flow_px: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.int16]:
    """Quantise flow (h, w, 2) to steps of 1/64 px; invalid (h, w) or unrepresentable vectors become `UNKNOWN_FLOW`."""
    import cv2

    steps: Any = cv2.multiply(flow_px, FLOW_STEPS_PER_PIXEL, dtype=cv2.CV_16S)  # one pass, rounds half to even
    is_small = flow_px.max() < LARGEST_FLOW_PX and flow_px.min() > -LARGEST_FLOW_PX  # false with NaN
    if not is_small:
        u_px, v_px = np.abs(flow_px[..., 0]), np.abs(flow_px[..., 1])
        valid = valid & (u_px < LARGEST_FLOW_PX) & (v_px < LARGEST_FLOW_PX)
    if not valid.all():
        steps[~valid] = UNKNOWN_FLOW
    return steps  # type: ignore[no-any-return]


def decode_flow(steps: NDArray[np.int16]) -> NDArray[np.float32]:
    """Return the flow that `encode_flow` quantised: float32 pixels (h, w, 2), NaN where unknown."""
    flow_px = steps.astype(np.float32)
    flow_px *= np.float32(1 / FLOW_STEPS_PER_PIXEL)
    if steps.min() == UNKNOWN_FLOW:
        flow_px[steps == UNKNOWN_FLOW] = np.nan
    return flow_px
