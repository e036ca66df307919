"""Flow as colours, by the wheel of Baker et al., A Database and Evaluation Methodology for Optical Flow (2011)."""

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from flowsim.color_wheel import ARC_STEPS, color_wheel
from flowsim.errors import FlowsimError
from flowsim.fields import FlowField

if TYPE_CHECKING:
    from torch import Tensor

    Array = TypeVar("Array", np.ndarray, Tensor)
else:  # torch takes a second to import, and arrays do not need it
    Array = TypeVar("Array")


def flow_to_rgb(flow: Array, max_radius: int | float | None = None, *, min_radius: int | float = 0) -> Array:
    """Colour a flow field: hue = direction, saturation = length, white = no motion.

    With r = |flow| / radius and the hue's colour c in 0..1, as published: 1 - r (1 - c) inside the wheel (r <= 1),
    0.75 c outside, cut to whole numbers of 0..255.

    Args:
        flow: (...,h,w,2) float32, px, array or tensor on the CPU; NaN, infinite or beyond 1e9 = unknown.
        max_radius: length in px of a fully saturated colour; None = that of the longest known vector of each field (1
            if all vectors are zero).
        min_radius: smallest such length where each field has its own, so that the noise of a field without motion stays
            pale.

    Returns:
        (...,h,w,3) uint8 RGB, an array or a tensor like `flow`; black where unknown.

    Raises:
        FlowsimError: flow that is not float, has a wrong shape or is on another device, max_radius not positive, or
            min_radius negative or not finite.
    """
    if flow.ndim < 3 or flow.shape[-1] != 2 or 0 in flow.shape:
        raise FlowsimError(f"flow has shape {tuple(flow.shape)}, expected (...,h,w,2), not empty")
    if max_radius is not None and not 0 < max_radius < float("inf"):
        raise FlowsimError(
            f"max_radius is {max_radius}, expected a positive number of pixels, or None for each field's own"
        )
    if not 0 <= min_radius < float("inf"):
        raise FlowsimError(f"min_radius is {min_radius}, expected a number of pixels, or 0")
    if isinstance(flow, np.ndarray):
        return _rgb_of_array(flow, max_radius, min_radius, threads=1)
    import torch

    if flow.device.type != "cpu":
        raise FlowsimError(f"flow is on {flow.device}, expected an array or a tensor on the CPU: call flow.cpu()")
    rgb = _rgb_of_array(flow.detach().numpy(), max_radius, min_radius, threads=torch.get_num_threads())
    return torch.from_numpy(rgb)


def _rgb_of_array(
    flow: np.ndarray, max_radius: int | float | None, min_radius: int | float, threads: int
) -> np.ndarray:
    """Colour flow fields by the compiled loop, shared among threads."""
    from flowsim.kernels.color import color_rows, largest_squares
    from flowsim.kernels.threads import share_rows

    if flow.dtype.kind != "f":
        raise FlowsimError(f"flow is {flow.dtype}, expected float32 pixels")
    height, width = flow.shape[-3:-1]
    rows = np.ascontiguousarray(flow, np.float32).reshape(-1, 2 * width)
    fields = len(rows) // height
    if max_radius is None:
        squares = np.empty(fields, np.float32)
        share_rows(
            lambda first, last: largest_squares(rows, height, first, last, squares),
            fields,
            height * width,
            threads,
        )
        radii = np.maximum(np.sqrt(squares), np.float32(min_radius))
        radii[radii == 0] = 1
    else:
        radii = np.full(fields, max_radius, np.float32)
    wheel = np.ascontiguousarray(color_wheel().T)
    steps = np.roll(wheel, -1, axis=1) - wheel
    rgb = np.empty((len(rows), 3 * width), np.uint8)
    share_rows(
        lambda first, last: color_rows(rows, 1 / radii, height, wheel, steps, first, last, rgb),
        len(rows),
        width,
        threads,
    )
    return rgb.reshape(*flow.shape[:-1], 3)


def rgb_to_flow(rgb: np.ndarray, max_radius: int | float = 1.0) -> FlowField:
    """Turn colours back into a flow field, up to scale, for flow of which only pictures were kept.

    Every hue of the wheel has one full and one empty channel. Therefore 1 - (smallest / largest channel) is the length
    of the vector, and the middle channel is its place between two pure hues. Vectors beyond the wheel's edge get the
    length max_radius.

    Args:
        rgb: (...,h,w,3) uint8.
        max_radius: length in px of a fully saturated colour; 1 gives flow relative to the longest vector.

    Returns:
        Flow (...,h,w,2) float32, and valid (...,h,w): False where the picture is black (unknown).

    Raises:
        FlowsimError: not uint8 or wrong shape.
    """
    if rgb.dtype != np.uint8 or rgb.ndim < 3 or rgb.shape[-1] != 3:
        raise FlowsimError(f"rgb is {rgb.dtype} of shape {rgb.shape}, expected uint8 (...,h,w,3)")
    full = rgb.max(-1).astype(np.float32)
    valid = full >= 64
    radius = 1 - rgb.min(-1) / np.maximum(full, 1)
    # The hue's colour in 0..255: the picture without its white part.
    pure = np.maximum(radius, 1e-6)[..., None]
    hue = np.clip(255 * (1 - (1 - rgb / np.maximum(full, 1)[..., None]) / pure), 0, 255)
    wheel = color_wheel()
    closed_wheel = np.concatenate([wheel, wheel[:1]])
    held, empty = rgb.argmax(-1), rgb.argmin(-1)
    middle_channel = 3 - held - empty
    middle = np.take_along_axis(hue, np.clip(middle_channel, 0, 2)[..., None], -1)[..., 0]
    position = np.zeros(rgb.shape[:-1], np.float32)
    start = 0
    for arc, steps in enumerate(ARC_STEPS):
        channel = (1, 0, 2, 1, 0, 2)[arc]
        is_here = (held == (0, 1, 1, 2, 2, 0)[arc]) & (middle_channel == channel)
        values = closed_wheel[start : start + steps + 1, channel]
        places = np.arange(start, start + steps + 1, dtype=np.float32)
        order = np.argsort(values, kind="stable")
        position[is_here] = np.interp(middle[is_here], values[order], places[order])
        start += steps
    # position = 27 (1 + angle / pi) with angle of (-v, -u); the last place before the seam is 54.
    angle = (np.minimum(position, 54) / 27 - 1) * np.pi
    length = np.where(valid, radius * max_radius, 0)
    flow = np.stack([-np.cos(angle) * length, -np.sin(angle) * length], -1).astype(np.float32)
    return FlowField(flow, valid)
