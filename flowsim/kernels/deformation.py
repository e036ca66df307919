"""Loops over pixels for the CPU that add waves to a flow field and blur it."""

from typing import Any

import numpy as np

from flowsim.kernels.jit import compiled

_ZERO = np.float32(0)


def _add_waves(columns: Any, rows: Any, labels: Any, gains: Any, flow: Any) -> None:
    """Add gain * (sum over waves of rows[., y, wave] columns[wave, x]) to a flow field.

    Args:
        columns: (2 waves,w) float32.
        rows: (2,h,2 waves) float32, for u and v.
        labels: (h,w) uint8, 0 = background, i = object i; not read if its width is 0.
        gains: (1+objects,) float32, px, of the background and of each object.
        flow: (h,2*w) float32, changed in place.
    """
    width = columns.shape[1]
    u = np.empty(width, np.float32)
    v = np.empty(width, np.float32)
    for y in range(flow.shape[0]):
        u[:] = _ZERO
        v[:] = _ZERO
        for wave in range(columns.shape[0]):
            column = columns[wave]
            across = rows[0, y, wave]
            down = rows[1, y, wave]
            for x in range(width):
                u[x] += across * column[x]
                v[x] += down * column[x]
        vectors = flow[y]
        for x in range(width):
            gain = gains[labels[y, x]] if labels.shape[1] else gains[0]
            vectors[2 * x] += gain * u[x]
            vectors[2 * x + 1] += gain * v[x]


add_waves = compiled(_add_waves)


def _blurred(flow: Any, weights: Any) -> Any:
    """Convolve a flow field with a symmetric separable kernel; border pixels are repeated outside the field.

    Args:
        flow: (h,2*w) float32.
        weights: (r+1,) float32, the weights at the distances 0 .. r.

    Returns:
        (h,2*w) float32.
    """
    height, length = flow.shape
    radius = weights.shape[0] - 1
    out = np.empty((height, length), np.float32)
    padded = np.empty(length + 4 * radius, np.float32)
    start = 2 * radius
    for y in range(height):
        middle = padded[start : start + length]
        here = flow[y]
        for i in range(length):
            middle[i] = weights[0] * here[i]
        for k in range(1, radius + 1):
            above = flow[max(y - k, 0)]
            below = flow[min(y + k, height - 1)]
            weight = weights[k]
            for i in range(length):
                middle[i] += weight * (above[i] + below[i])
        for i in range(radius):
            for c in range(2):
                padded[2 * i + c] = middle[c]
                padded[start + length + 2 * i + c] = middle[length - 2 + c]
        row = out[y]
        for i in range(length):
            row[i] = weights[0] * middle[i]
        for k in range(1, radius + 1):
            left = padded[start - 2 * k : start - 2 * k + length]
            right = padded[start + 2 * k : start + 2 * k + length]
            weight = weights[k]
            for i in range(length):
                row[i] += weight * (left[i] + right[i])
    return out


blurred = compiled(_blurred)
