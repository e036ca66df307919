"""The colour wheel's loop over pixels for the CPU."""

from typing import Any

import numpy as np

from flowsim.kernels.jit import compiled

_ZERO = np.float32(0)
_ONE = np.float32(1)
_FULL = np.float32(255)
_ROUNDING = np.float32(1e-3)
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


def _ramp(place: Any, start: Any, steps: Any) -> Any:
    """Rise of a channel from 0 to 255 in whole numbers over `steps` places of the wheel from `start` on."""
    # floor(255 i / steps); the quotient's fraction is a multiple of 1 / steps, far more than what is added
    risen = np.floor((place - start) * (_FULL / steps) + _ROUNDING)
    return min(max(risen, _ZERO), _FULL)


_compiled_ramp = compiled(_ramp)


def _red(place: Any) -> Any:
    """Red of the wheel at a whole place 0..55: falls from yellow to green, rises from blue to magenta."""
    falls = _compiled_ramp(place, np.float32(15), np.float32(6))
    return max(_FULL - falls, _compiled_ramp(place, np.float32(36), np.float32(13)))


def _green(place: Any) -> Any:
    """Green: rises from red to yellow, falls from cyan to blue."""
    falls = _compiled_ramp(place, np.float32(25), np.float32(11))
    return min(_compiled_ramp(place, np.float32(0), np.float32(15)), _FULL - falls)


def _blue(place: Any) -> Any:
    """Blue: rises from green to cyan, falls from magenta to red."""
    falls = _compiled_ramp(place, np.float32(49), np.float32(6))
    return min(_compiled_ramp(place, np.float32(21), np.float32(4)), _FULL - falls)


compiled_red, compiled_green, compiled_blue = compiled(_red), compiled(_green), compiled(_blue)


def _shade(low: Any, high: Any, part: Any, radius: Any) -> Any:
    """Blend a channel between two places, then with white inside the wheel, with black outside; 0 where unknown."""
    color = low + part * (high - low)
    # inside the wheel 255 - r (255 - color), outside 0.75 color
    shaded = _FULL - radius * (_FULL - color) if radius <= _ONE else np.float32(0.75) * color
    return np.int32(shaded if radius >= _ZERO else _ZERO)


_compiled_shade = compiled(_shade)


def _shade_row(position: Any, radius: Any, red: Any, green: Any, blue: Any) -> None:
    """Channels of a row; the wheel is computed, because a table of it keeps the loop from being vectorised."""
    for x in range(position.shape[0]):
        place = np.floor(position[x])
        following = place + _ONE
        part = position[x] - place
        r = radius[x]
        red[x] = _compiled_shade(compiled_red(place), compiled_red(following), part, r)
        green[x] = _compiled_shade(compiled_green(place), compiled_green(following), part, r)
        blue[x] = _compiled_shade(compiled_blue(place), compiled_blue(following), part, r)


_compiled_shade_row = compiled(_shade_row)


def _color_rows(flow: Any, inverse_radius: Any, height: Any, unknown: Any, first: Any, last: Any, rgb: Any) -> None:
    """Colour rows first..last-1.

    Args:
        flow: (b*h,2*w) float32, px.
        inverse_radius: (b,) float32, 1 / the length that gets full saturation.
        height: h.
        unknown: vectors with a longer component are unknown and black.
        first, last: range of rows.
        rgb: (b*h,3*w) uint8, written.
    """
    width = flow.shape[1] // 2
    position = np.empty(width, np.float32)
    radius = np.empty(width, np.float32)
    red = np.empty(width, np.uint8)
    green = np.empty(width, np.uint8)
    blue = np.empty(width, np.uint8)
    for row in range(first, last):
        _compiled_wheel_row(flow[row], inverse_radius[row // height], unknown, position, radius)
        _compiled_shade_row(position, radius, red, green, blue)
        colors = rgb[row]
        for x in range(width):
            colors[3 * x] = red[x]
            colors[3 * x + 1] = green[x]
            colors[3 * x + 2] = blue[x]


color_rows = compiled(_color_rows)
