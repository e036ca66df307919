"""The colour wheel's loop over pixels for the CPU."""

from typing import Any

import numpy as np

from flowsim.kernels.jit import compiled

_ZERO = np.float32(0)
_ONE = np.float32(1)
_FULL = np.float32(255)
_HALF_PI = np.float32(np.pi / 2)
_PI = np.float32(np.pi)
# Arcus tangens on [0, 1], error below 2e-8: Abramowitz and Stegun, Handbook of Mathematical Functions (1964), 4.4.49.
_A2, _A4, _A6, _A8 = (np.float32(a) for a in (-0.3333314528, 0.1999355085, -0.1420889944, 0.1065626393))
_A10, _A12, _A14, _A16 = (np.float32(a) for a in (-0.0752896400, 0.0429096138, -0.0161657367, 0.0028662257))


def _largest_squares(flow: Any, height: Any, unknown: Any, first: Any, last: Any, squares: Any) -> None:
    """Largest u^2 + v^2 of the known vectors of fields first..last-1.

    Args:
        flow: (b*h,2*w) float32, px.
        height: h.
        unknown: vectors with a longer component are left out.
        first, last: range of fields.
        squares: (b,) float32, written.
    """
    row_squares = np.empty(flow.shape[1] // 2, np.float32)
    # Floats that are not negative are in the order of their bits, and a maximum of integers is vectorised.
    row_bits = row_squares.view(np.int32)
    for field in range(first, last):
        largest = np.int32(0)
        for row in range(field * height, (field + 1) * height):
            vectors = flow[row]
            for x in range(row_squares.shape[0]):
                u = vectors[2 * x]
                v = vectors[2 * x + 1]
                is_known = (abs(u) <= unknown) & (abs(v) <= unknown)
                row_squares[x] = u * u + v * v if is_known else _ZERO
            for x in range(row_squares.shape[0]):
                largest = max(largest, row_bits[x])
        row_bits[0] = largest
        squares[field] = row_squares[0]


largest_squares = compiled(_largest_squares)


def _wheel_row(vectors: Any, inverse_radius: Any, unknown: Any, position: Any, radius: Any) -> None:
    """Place of a row of vectors on the wheel (0 .. 54) and their relative length; -1 = unknown."""
    steps = np.float32(27 / np.pi)
    for x in range(position.shape[0]):
        u = vectors[2 * x]
        v = vectors[2 * x + 1]
        width = abs(u)
        height = abs(v)
        is_known = (width <= unknown) & (height <= unknown)
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
    flow: Any, inverse_radius: Any, height: Any, unknown: Any, wheel: Any, first: Any, last: Any, rgb: Any
) -> None:
    """Colour rows first..last-1.

    Args:
        flow: (b*h,2*w) float32, px.
        inverse_radius: (b,) float32, 1 / the length that gets full saturation.
        height: h.
        unknown: vectors with a longer component are unknown and black.
        wheel: (56,3) float32, the 55 colours in 0..255 and the first again.
        first, last: range of rows.
        rgb: (b*h,3*w) uint8, written.
    """
    width = flow.shape[1] // 2
    position = np.empty(width, np.float32)
    radius = np.empty(width, np.float32)
    for row in range(first, last):
        _compiled_wheel_row(flow[row], inverse_radius[row // height], unknown, position, radius)
        colors = rgb[row]
        for x in range(width):
            r = radius[x]
            if r < _ZERO:
                colors[3 * x] = 0
                colors[3 * x + 1] = 0
                colors[3 * x + 2] = 0
                continue
            k = int(position[x])
            part = position[x] - np.float32(k)
            # inside the wheel 255 - r (255 - color), outside 0.75 color
            is_inside = r <= _ONE
            for channel in range(3):
                low = wheel[k, channel]
                color = low + part * (wheel[k + 1, channel] - low)
                color = _FULL - r * (_FULL - color) if is_inside else np.float32(0.75) * color
                colors[3 * x + channel] = np.uint8(color)


color_rows = compiled(_color_rows)
