"""The forward z-buffer's loop over pixels for the CPU."""

from typing import Any

import numpy as np

from flowsim.kernels.jit import compiled

_HALF = np.float32(0.5)
_EMPTY = np.float32(-1)


def _targets_of_row(vectors: Any, y: Any, height: Any, width: Any, targets: Any) -> None:
    """Index of the pixel each pixel of a row goes to; -1 = outside."""
    bottom = np.float32(height)
    right = np.float32(width)
    for x in range(targets.shape[0]):
        column = np.floor(np.float32(x) + vectors[2 * x] + _HALF)
        row = np.floor(y + vectors[2 * x + 1] + _HALF)
        is_inside = (column >= 0) & (column < right) & (row >= 0) & (row < bottom)
        inside_column = column if is_inside else np.float32(0)
        inside_row = row if is_inside else np.float32(0)
        target = np.int32(inside_row) * width + np.int32(inside_column)
        targets[x] = target if is_inside else np.int32(-1)


_compiled_targets_of_row = compiled(_targets_of_row)


def _visibility_of_fields(
    flow: Any,
    inverse_depth: Any,
    valid: Any,
    reads_valid: Any,
    leaves: Any,
    hidden: Any,
    uncovered: Any,
    first: Any,
    last: Any,
) -> None:
    """Fill fields first..last-1.

    Args:
        flow: (b,h,2*w) float32, px.
        inverse_depth: (b,h,w) float32.
        valid: (b,h,w) bool.
        reads_valid: whether `valid` says anything; else all are.
        leaves, hidden, uncovered: (b,h,w) bool, written.
        first, last: range of fields.
    """
    height, width = inverse_depth.shape[1:]
    targets = np.empty((height, width), np.int32)
    nearest = np.empty(height * width, np.float32)
    for field in range(first, last):
        nearest[:] = _EMPTY
        for y in range(height):
            _compiled_targets_of_row(flow[field, y], np.float32(y), height, np.int32(width), targets[y])
            for x in range(width):
                if reads_valid and not valid[field, y, x]:
                    targets[y, x] = -1
                target = targets[y, x]
                if target >= 0:
                    nearest[target] = max(nearest[target], inverse_depth[field, y, x])
        for y in range(height):
            for x in range(width):
                target = targets[y, x]
                leaves[field, y, x] = target < 0
                hidden[field, y, x] = target >= 0 and inverse_depth[field, y, x] < nearest[target]
                uncovered[field, y, x] = nearest[y * width + x] < 0


visibility_of_fields = compiled(_visibility_of_fields)
