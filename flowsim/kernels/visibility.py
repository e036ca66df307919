"""The forward z-buffer's loop over pixels for the CPU."""

from typing import Any

import numpy as np

from flowsim.kernels.jit import compiled

_ZERO = np.float32(0)
_HALF = np.float32(0.5)
_EMPTY = np.float32(-1)


def _targets_of_row(vectors: Any, y: Any, height: Any, width: Any, outside: Any, targets: Any) -> None:
    """Write the index of the pixel that each pixel of a row moves to, or `outside` if it leaves the picture.

    Indices are unsigned, because numba checks signed ones for Python's negative indices, which takes a third of the
    time of the loops below.
    """
    bottom = np.float32(height)
    right = np.float32(width)
    for x in range(targets.shape[0]):
        column = np.floor(np.float32(x) + vectors[2 * x] + _HALF)
        row = np.floor(y + vectors[2 * x + 1] + _HALF)
        is_inside = (column >= 0) & (column < right) & (row >= 0) & (row < bottom)
        inside_column = column if is_inside else _ZERO
        inside_row = row if is_inside else _ZERO
        target = np.uint32(np.int32(inside_row) * width + np.int32(inside_column))
        targets[x] = target if is_inside else outside


_compiled_targets_of_row = compiled(_targets_of_row)


def _send_row(targets: Any, inverse_depth: Any, nearest: Any) -> None:
    """Record the greatest inverse depth that arrives at each target."""
    for x in range(targets.shape[0]):
        nearest[targets[x]] = max(nearest[targets[x]], inverse_depth[x])


_compiled_send_row = compiled(_send_row)


def _fill_row(
    targets: Any, inverse_depth: Any, nearest: Any, here: Any, outside: Any, leaves: Any, hidden: Any, uncovered: Any
) -> None:
    """Write the visibility of a row's pixels; of the three separate loops, LLVM vectorises two."""
    for x in range(targets.shape[0]):
        hidden[x] = inverse_depth[x] < nearest[targets[x]]
    for x in range(targets.shape[0]):
        leaves[x] = targets[x] == outside
    for x in range(targets.shape[0]):
        uncovered[x] = here[x] < _ZERO


_compiled_fill_row = compiled(_fill_row)


def _visibility_of_fields(
    flow: Any,
    inverse_depth: Any,
    valid: Any,
    leaves: Any,
    hidden: Any,
    uncovered: Any,
    first: Any,
    last: Any,
) -> None:
    """Write the visibility of the fields first..last-1.

    Args:
        flow: (b,h,2*w) float32, px.
        inverse_depth: (b,h,w) float32.
        valid: (b,h,w) bool; with b = 0 all pixels are valid.
        leaves, hidden, uncovered: (b,h,w) bool, written.
        first, last: range of fields.
    """
    height, width = inverse_depth.shape[1:]
    targets = np.empty((height, width), np.uint32)
    outside = np.uint32(height * width)
    nearest = np.empty(height * width + 1, np.float32)  # the last cell collects the pixels that leave
    for field in range(first, last):
        nearest[:] = _EMPTY
        for y in range(height):
            row = targets[y]
            _compiled_targets_of_row(flow[field, y], np.float32(y), height, np.int32(width), outside, row)
            if valid.shape[0]:
                for x in range(width):
                    row[x] = row[x] if valid[field, y, x] else outside
            _compiled_send_row(row, inverse_depth[field, y], nearest)
        nearest[outside] = _EMPTY
        for y in range(height):
            _compiled_fill_row(
                targets[y],
                inverse_depth[field, y],
                nearest,
                nearest[y * width : (y + 1) * width],
                outside,
                leaves[field, y],
                hidden[field, y],
                uncovered[field, y],
            )


visibility_of_fields = compiled(_visibility_of_fields)
