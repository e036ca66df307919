"""The equation of the flow, and its loop over pixels for the CPU."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from flowsim.kernels.jit import compiled

# A point is in front of the next camera if its depth there is more than this fraction of its depth in the first camera.
SMALLEST_DEPTH_RATIO = 1e-6

_ZERO = np.float32(0)
_ONE = np.float32(1)
_SMALLEST = np.float32(SMALLEST_DEPTH_RATIO)


def plane_and_parallax(m: Sequence[Any], x: Any, y: Any, d: Any) -> tuple[Any, Any, Any]:
    """Return the numerators of a pixel's flow and the change of its depth: flow = (first, second) / (1 + third).

    This is the only statement of the mathematics: numba compiles it for the loops, and it is called on tensors as well.

    With the pixel c = (x, y, 1) relative to the principal point and the row-major 3x4 matrix m = [B | k] (see
    `flowsim.projection`):

        q = c + B c + d k,   flow = (q_0 / q_2 - x, q_1 / q_2 - y),   q_2 = Z' / Z

    The formulas avoid differences of large numbers, so that zero motion gives exactly zero flow.

    Args:
        m: twelve entries of [B | k].
        x: column minus principal point, px.
        y: row minus principal point, px.
        d: inverse depth.

    Returns:
        Numerators of u and v in px, and the change of depth q_2 - 1; divide by q_2.
    """
    change = m[8] * x + (m[9] * y + m[10]) + m[11] * d
    u = m[0] * x + (m[1] * y + m[2]) + m[3] * d - x * change
    v = m[4] * x + (m[5] * y + m[6]) + m[7] * d - y * change
    return u, v, change


_plane_and_parallax = compiled(plane_and_parallax)


def _flow_segment(matrix: Any, inverse_depth: Any, xs: Any, y: Any, flow: Any, valid: Any) -> Any:
    """Write the flow of neighbours in a row that share a matrix; return how many inverse depths are not in [0, 1]."""
    # A tuple and flat rows, because LLVM does not vectorise the loop with 2-d indexing (5x slower).
    first = (matrix[0], matrix[1], matrix[2], matrix[3])
    second = (matrix[4], matrix[5], matrix[6], matrix[7])
    third = (matrix[8], matrix[9], matrix[10], matrix[11])
    m = (*first, *second, *third)
    for i in range(inverse_depth.shape[0]):
        u, v, change = _plane_and_parallax(m, xs[i], y, inverse_depth[i])
        ratio = _ONE + change
        is_in_front = ratio > _SMALLEST
        scale = _ONE / ratio if is_in_front else _ZERO
        flow[2 * i] = u * scale
        flow[2 * i + 1] = v * scale
        valid[i] = is_in_front
    outside = np.int32(0)
    for i in range(inverse_depth.shape[0]):  # a second pass over the row, which is in the cache by now
        d = inverse_depth[i]
        outside += np.int32((d < _ZERO) | (d > _ONE) | (d != d))
    return outside


_compiled_flow_segment = compiled(_flow_segment)


def _end_of_run(labels: Any, start: Any) -> Any:
    """Return the first position after `start` whose label differs."""
    width = labels.shape[0]
    label = labels[start]
    stop = start + 1
    while stop + 16 <= width:
        block = labels[stop : stop + 16]  # LLVM compares a slice as one vector
        differs = 0
        for i in range(16):
            differs |= block[i] ^ label
        if differs:
            break
        stop += 16
    while stop < width and labels[stop] == label:
        stop += 1
    return stop


_compiled_end_of_run = compiled(_end_of_run)


def _fill_flow(inverse_depth: Any, labels: Any, matrices: Any, xs: Any, ys: Any, flow: Any, valid: Any) -> Any:
    """Write the flow of one photo under one motion.

    Args:
        inverse_depth: (h,w) float32.
        labels: (h,w) uint8, 0 = background, i = object i; not read if `matrices` holds the background alone.
        matrices: (1+objects,12) float32.
        xs, ys: (w,), (h,) float32, relative to the principal point.
        flow: (h,2*w) float32, written.
        valid: (h,w) bool, written.

    Returns:
        Number of inverse depths that are not in [0, 1].
    """
    height, width = inverse_depth.shape
    outside = 0
    for y in range(height):
        depth_row = inverse_depth[y]
        if matrices.shape[0] == 1:
            outside += _compiled_flow_segment(matrices[0], depth_row, xs, ys[y], flow[y], valid[y])
        else:
            label_row = labels[y]
            start = 0
            while start < width:
                stop = _compiled_end_of_run(label_row, start)
                outside += _compiled_flow_segment(
                    matrices[label_row[start]],
                    depth_row[start:stop],
                    xs[start:stop],
                    ys[y],
                    flow[y, 2 * start : 2 * stop],
                    valid[y, start:stop],
                )
                start = stop
    return outside


fill_flow = compiled(_fill_flow)


def _mask_moments(mask: Any, inverse_depth: Any) -> Any:
    """Return the number of a mask's pixels and the sums of their columns, rows and inverse depths.

    Args:
        mask: (h,w) bool.
        inverse_depth: (h,w) float32.
    """
    count = 0
    columns = 0
    rows = 0
    depths = 0.0
    for y in range(mask.shape[0]):
        in_row = 0
        in_row_depth = 0.0
        for x in range(mask.shape[1]):
            if mask[y, x]:
                in_row += 1
                columns += x
                in_row_depth += inverse_depth[y, x]
        count += in_row
        rows += y * in_row
        depths += in_row_depth
    return count, columns, rows, depths


mask_moments = compiled(_mask_moments)
