"""Rasterization of a warped pixel grid: the part of a surface that each pixel of the next frame shows."""

from typing import Any

import numpy as np

from flowsim.kernels.flow import SMALLEST_DEPTH_RATIO, plane_and_parallax
from flowsim.kernels.jit import compiled

NOTHING = -1
"""Winner of a pixel that no triangle covers."""
_ONE = np.float32(1)
_SMALLEST = np.float32(SMALLEST_DEPTH_RATIO)
TOLERANCE = 1e-6
"""Overlap of neighbouring triangles in barycentric coordinates, so that no crack opens between them."""
_plane_and_parallax = compiled(plane_and_parallax)


def _project(matrix: Any, depth: Any, nearness: Any, xs: Any, ys: Any, flow: Any, next_depth: Any) -> None:
    """Compute the flow of every pixel of one surface, and its inverse depth as the next camera sees it.

    Args:
        matrix: (12,) float32, [B | k] for normalised inverse depth.
        depth: (h,w) float32 normalised inverse depth.
        nearness: (2,) float32: inverse depth is nearness[0] + nearness[1] * depth.
        xs, ys: (w,), (h,) float32, relative to the principal point.
        flow: (h,w,2) float32, written; 0 behind the camera.
        next_depth: (h,w) float32, written; negative behind the camera.
    """
    height, width = depth.shape
    m = (
        matrix[0],
        matrix[1],
        matrix[2],
        matrix[3],
        matrix[4],
        matrix[5],
        matrix[6],
        matrix[7],
        matrix[8],
        matrix[9],
        matrix[10],
        matrix[11],
    )
    for y in range(height):
        for x in range(width):
            u, v, change = _plane_and_parallax(m, xs[x], ys[y], depth[y, x])
            ratio = _ONE + change
            is_in_front = ratio > _SMALLEST
            scale = _ONE / ratio if is_in_front else np.float32(0)
            flow[y, x, 0] = u * scale
            flow[y, x, 1] = v * scale
            next_depth[y, x] = (nearness[0] + nearness[1] * depth[y, x]) * scale if is_in_front else -_ONE


project = compiled(_project)


def barycentric(x0: Any, y0: Any, x1: Any, y1: Any, x2: Any, y2: Any, x: Any, y: Any) -> tuple[Any, Any, Any]:
    """Return barycentric coordinates of a point, as numerators and their denominator; works on tensors as well.

    Args:
        x0, y0, x1, y1, x2, y2: corners of the triangle.
        x, y: the point.

    Returns:
        Numerators of the weights of corner 1 and corner 2, and twice the signed area, positive if the corners run
        clockwise in the picture (rows down).
    """
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    first = (x - x0) * (y2 - y0) - (x2 - x0) * (y - y0)
    second = (x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)
    return first, second, area


_barycentric = compiled(barycentric, is_inlined=True)


def triangle_corners(triangle: Any, width: Any) -> tuple[Any, Any, Any, Any, Any, Any]:
    """Return column and row of the three corners of a triangle; works on tensors as well.

    Triangle 2 i + t is half t of the square right and below pixel i. Corner 1 lies beside corner 0, corner 2 above or
    below it.

    Args:
        triangle: its number.
        width: columns of the grid.
    """
    place = triangle // 2
    half = triangle - 2 * place
    row = place // width
    column = place - row * width
    x, y, step = column + half, row + half, 1 - 2 * half
    return x, y, x + step, y, x, y + step


corners = compiled(triangle_corners, is_inlined=True)


def _draw(triangle: Any, first: Any, beside: Any, above_or_below: Any, nearest: Any, winner: Any) -> None:
    """Draw one triangle, given the column, the row and the inverse depth of its corners in the next frame."""
    (x0, y0, d0), (x1, y1, d1), (x2, y2, d2) = first, beside, above_or_below
    _, _, area = _barycentric(x0, y0, x1, y1, x2, y2, x0, y0)
    if d0 < 0 or d1 < 0 or d2 < 0 or area <= 0:
        return
    slack = TOLERANCE * area
    first_column: Any = max(np.int64(np.ceil(min(x0, x1, x2) - TOLERANCE)), 0)
    last_column: Any = min(np.int64(np.floor(max(x0, x1, x2) + TOLERANCE)), nearest.shape[1] - 1)
    first_row: Any = max(np.int64(np.ceil(min(y0, y1, y2) - TOLERANCE)), 0)
    last_row: Any = min(np.int64(np.floor(max(y0, y1, y2) + TOLERANCE)), nearest.shape[0] - 1)
    for row in range(first_row, last_row + 1):
        for column in range(first_column, last_column + 1):
            w1, w2, _ = _barycentric(x0, y0, x1, y1, x2, y2, np.float64(column), np.float64(row))
            if w1 < -slack or w2 < -slack or w1 + w2 > area + slack:
                continue
            depth = np.float32(d0 + (w1 * (d1 - d0) + w2 * (d2 - d0)) / area)
            if depth > nearest[row, column]:
                nearest[row, column] = depth
                winner[row, column] = triangle


_compiled_draw = compiled(_draw, is_inlined=True)


def _rasterize(displacement: Any, next_depth: Any, used: Any, nearest: Any, winner: Any) -> None:
    """Find the nearest triangle at each pixel of the next frame.

    Triangles that are seen from behind lie between a near and a far part of a folded surface and are skipped.

    Args:
        displacement: (h,w,2) float32 px, of every pixel of the surface.
        next_depth: (h,w) float32, inverse depth in the next frame; negative = behind the camera.
        used: (h,w) bool: squares, named by their upper left pixel, that belong to the surface.
        nearest: (H,W) float32, written where a triangle is nearer: start at -1.
        winner: (H,W) int32, written there too: start at `NOTHING`.
    """
    height, width = next_depth.shape
    xs, ys = np.empty((2, width)), np.empty((2, width))  # places of the corners in two rows
    for y in range(height - 1):
        for below in range(2):
            for x in range(width):
                xs[below, x] = x + np.float64(displacement[y + below, x, 0])
                ys[below, x] = y + below + np.float64(displacement[y + below, x, 1])
        for x in range(width - 1):
            if not used[y, x]:
                continue
            left, right = (xs[0, x], ys[0, x], next_depth[y, x]), (xs[0, x + 1], ys[0, x + 1], next_depth[y, x + 1])
            low_left = (xs[1, x], ys[1, x], next_depth[y + 1, x])
            low_right = (xs[1, x + 1], ys[1, x + 1], next_depth[y + 1, x + 1])
            triangle = 2 * (y * width + x)
            _compiled_draw(triangle, left, right, low_left, nearest, winner)
            _compiled_draw(triangle + 1, low_right, low_left, right, nearest, winner)


rasterize = compiled(_rasterize)


def _locate(displacement: Any, triangle: Any, x: Any, y: Any) -> Any:
    """Return column and row on the surface that a triangle's affine map sends to a point in the triangle or near it."""
    xa, ya, xb, yb, xc, yc = corners(triangle, displacement.shape[1])
    w1, w2, area = _barycentric(
        xa + np.float64(displacement[ya, xa, 0]),
        ya + np.float64(displacement[ya, xa, 1]),
        xb + np.float64(displacement[yb, xb, 0]),
        yb + np.float64(displacement[yb, xb, 1]),
        xc + np.float64(displacement[yc, xc, 0]),
        yc + np.float64(displacement[yc, xc, 1]),
        np.float64(x),
        np.float64(y),
    )
    w1, w2 = w1 / area, w2 / area
    return xa + w1 * (xb - xa) + w2 * (xc - xa), ya + w1 * (yb - ya) + w2 * (yc - ya)


locate = compiled(_locate, is_inlined=True)


def _sources(displacement: Any, winner: Any, source: Any) -> None:
    """Find the column and row on the surface that each pixel of the next frame shows; NaN where it shows none of it.

    Args:
        displacement: (h,w,2) float32 px.
        winner: (H,W) int32.
        source: (H,W,2) float32, written.
    """
    for y in range(winner.shape[0]):
        for x in range(winner.shape[1]):
            if winner[y, x] < 0:
                source[y, x, 0] = np.nan
                source[y, x, 1] = np.nan
            else:
                column, row = locate(displacement, winner[y, x], x, y)
                source[y, x, 0] = column
                source[y, x, 1] = row


sources = compiled(_sources)
