"""The colour wheel's loop over pixels for the CPU."""

from typing import Any

import numpy as np

from flowsim.color_wheel import UNKNOWN_FLOW_PX
from flowsim.kernels.jit import compiled

_UNKNOWN = np.float32(UNKNOWN_FLOW_PX)
_ZERO = np.float32(0)
_ONE = np.float32(1)
_FULL = np.float32(255)
_HALF_PI = np.float32(np.pi / 2)
_PI = np.float32(np.pi)
# Arc tangent on [0, 1], error below 2e-8, after Abramowitz and Stegun, Handbook of Mathematical Functions (1964),
# 4.4.49.
_A2, _A4, _A6, _A8 = (np.float32(a) for a in (-0.3333314528, 0.1999355085, -0.1420889944, 0.1065626393))
_A10, _A12, _A14, _A16 = (np.float32(a) for a in (-0.0752896400, 0.0429096138, -0.0161657367, 0.0028662257))


def _largest_squares(flow: Any, height: Any, first: Any, last: Any, squares: Any) -> None:
    """Find the largest u^2 + v^2 of the known vectors of each of the fields first..last-1.

    Args:
        flow: (b*h,2*w) float32, px.
        height: h.
        first, last: range of fields.
        squares: (b,) float32, written.
    """
    row_squares = np.empty(flow.shape[1] // 2, np.float32)
    # Non-negative floats have the order of their bits as integers, and LLVM vectorises a maximum of integers.
    row_bits = row_squares.view(np.int32)
    for field in range(first, last):
        largest = np.int32(0)
        for row in range(field * height, (field + 1) * height):
            vectors = flow[row]
            for x in range(row_squares.shape[0]):
                u = vectors[2 * x]
                v = vectors[2 * x + 1]
                is_known = (abs(u) <= _UNKNOWN) & (abs(v) <= _UNKNOWN)
                row_squares[x] = u * u + v * v if is_known else _ZERO
            for x in range(row_squares.shape[0]):
                largest = max(largest, row_bits[x])
        row_bits[0] = largest
        squares[field] = row_squares[0]


largest_squares = compiled(_largest_squares)


def _wheel_row(vectors: Any, inverse_radius: Any, position: Any, radius: Any) -> None:
    """Write the place of a row's vectors on the wheel (0 .. 54) and their relative length (-1 = unknown)."""
    steps = np.float32(27 / np.pi)
    for x in range(position.shape[0]):
        u = vectors[2 * x]
        v = vectors[2 * x + 1]
        width = abs(u)
        height = abs(v)
        is_known = (width <= _UNKNOWN) & (height <= _UNKNOWN)
        longer = max(width, height)
        slope = min(width, height) / longer if longer > _ZERO else _ZERO
        s = slope * slope
        high = ((((_A16 * s + _A14) * s + _A12) * s + _A10) * s + _A8) * s
        angle = slope * ((((high + _A6) * s + _A4) * s + _A2) * s + _ONE)
        angle = _HALF_PI - angle if height > width else angle
        angle = _PI - angle if u > _ZERO else angle  # atan2 of (-v, -u)
        place = np.float32(27) + steps * np.copysign(angle, -v)
        place = min(max(place, _ZERO), np.float32(54))
        position[x] = place if is_known else _ZERO
        radius[x] = np.sqrt(u * u + v * v) * inverse_radius if is_known else -_ONE


_compiled_wheel_row = compiled(_wheel_row)


def _color_rows(
    flow: Any,
    inverse_radius: Any,
    height: Any,
    wheel: Any,
    steps: Any,
    first: Any,
    last: Any,
    rgb: Any,
) -> None:
    """Colour rows first..last-1.

    Args:
        flow: (b*h,2*w) float32, px.
        inverse_radius: (b,) float32, 1 / length of a fully saturated colour.
        height: h.
        wheel: (3,55) float32, the colours in 0..255.
        steps: (3,55) float32, differences from each colour to the next, and from the last to the first.
        first, last: range of rows.
        rgb: (b*h,3*w) uint8, written.
    """
    width = flow.shape[1] // 2
    position = np.empty(width, np.float32)
    radius = np.empty(width, np.float32)
    k = np.empty(width, np.uint32)
    # With one plane per channel and one loop per step, LLVM vectorises all loops but the one that looks up hues.
    planes = np.empty((3, width), np.float32)
    for row in range(first, last):
        _compiled_wheel_row(flow[row], inverse_radius[row // height], position, radius)
        for x in range(width):
            step = np.int32(position[x])
            k[x] = np.uint32(step)
            position[x] -= np.float32(step)
        for x in range(width):
            low = np.uint64(k[x])  # unsigned: an index that may be negative costs a comparison
            part = position[x]
            for channel in range(3):
                planes[channel, x] = wheel[channel, low] + part * steps[channel, low]
        for channel in range(3):
            plane = planes[channel]
            for x in range(width):
                # inside the wheel 255 - r (255 - color), outside 0.75 color, unknown black
                r = radius[x]
                color = plane[x]
                color = _FULL - r * (_FULL - color) if r <= _ONE else np.float32(0.75) * color
                plane[x] = color if r >= _ZERO else _ZERO
        colors = rgb[row]
        for x in range(width):
            for channel in range(3):
                colors[3 * x + channel] = np.uint8(np.int32(planes[channel, x]))


color_rows = compiled(_color_rows)
