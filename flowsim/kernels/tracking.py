"""Where the pixels of one view are in another view, and whether they can be seen there."""

from typing import Any

import numpy as np

from flowsim.kernels.jit import compiled
from flowsim.kernels.rasterization import corners, locate

VISIBLE, HIDDEN, LEAVES = 0, 1, 2
FOLD = 1e-3
"""A surface hides a part of itself that is farther away by more than this inverse depth."""
NEIGHBOURHOOD_PX = 1.5
"""A triangle whose middle is this near to a pixel of the surface does not hide it."""


def _follow(
    labels: Any,
    source: Any,
    label: Any,
    displacement: Any,
    next_depth: Any,
    winner: Any,
    flow: Any,
    valid: Any,
    fate: Any,
) -> None:
    """Follow the pixels of a view that show one layer to another view.

    Args:
        labels: (h,w) uint8: the layer in front in the first view.
        source: (h,w,2) float32: where in the layer each pixel looks.
        label: of the layer.
        displacement, next_depth, winner: of the layer's surface in the second view.
        flow: (h,w,2) float32 px, written.
        valid: (h,w) bool, written.
        fate: (h,w) uint8, written: `LEAVES`, or `HIDDEN` where the layer folds over itself, else `VISIBLE`.
    """
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            if labels[y, x] != label:
                continue
            sx, sy = np.float64(source[y, x, 0]), np.float64(source[y, x, 1])
            x0 = min(max(np.int64(np.floor(sx)), 0), width - 2)
            y0 = min(max(np.int64(np.floor(sy)), 0), height - 2)
            fx, fy = sx - x0, sy - y0
            half = 0 if fx + fy <= 1 else 1
            if half == 1:
                fx, fy = 1 - fx, 1 - fy
            xa, ya, xb, yb, xc, yc = corners(2 * (y0 * width + x0) + half, width)
            d0, d1, d2 = next_depth[ya, xa], next_depth[yb, xb], next_depth[yc, xc]
            if d0 < 0 or (fx > 0 and d1 < 0) or (fy > 0 and d2 < 0):
                continue
            w0 = 1 - fx - fy
            u = w0 * displacement[ya, xa, 0] + fx * displacement[yb, xb, 0] + fy * displacement[yc, xc, 0]
            v = w0 * displacement[ya, xa, 1] + fx * displacement[yb, xb, 1] + fy * displacement[yc, xc, 1]
            flow[y, x, 0] = u + (sx - x)
            flow[y, x, 1] = v + (sy - y)
            valid[y, x] = True
            target_x, target_y = sx + u, sy + v
            column, row = np.int64(np.floor(target_x + 0.5)), np.int64(np.floor(target_y + 0.5))
            if column < 0 or row < 0 or column >= width or row >= height:
                continue
            fate[y, x] = VISIBLE
            triangle = winner[row, column]
            if triangle < 0:
                continue
            xa, ya, xb, yb, xc, yc = corners(triangle, width)
            if abs(0.5 * (xb + xc) - sx) <= NEIGHBOURHOOD_PX and abs(0.5 * (yb + yc) - sy) <= NEIGHBOURHOOD_PX:
                continue
            there_x, there_y = locate(displacement, triangle, target_x, target_y)
            e0, e1, e2 = next_depth[ya, xa], next_depth[yb, xb], next_depth[yc, xc]
            w1, w2 = (there_x - xa) * (xb - xa), (there_y - ya) * (yc - ya)
            depth_there = e0 + w1 * (e1 - e0) + w2 * (e2 - e0)
            if depth_there > w0 * d0 + fx * d1 + fy * d2 + FOLD:
                fate[y, x] = HIDDEN


follow = compiled(_follow)


def _find_covered(
    labels: Any, label: Any, flow: Any, photo_labels: Any, nearer: Any, displacement: Any, winner: Any, fate: Any
) -> None:
    """Mark the pixels of a layer whose targets a nearer layer covers.

    Args:
        labels: (h,w) uint8: the layer in front in the first view.
        label: of the layer.
        flow: (h,w,2) float32 px, to the second view.
        photo_labels: (h,w) uint8, of the photo.
        nearer: label of the nearer layer.
        displacement, winner: of the nearer layer's surface in the second view.
        fate: (h,w) uint8, written.
    """
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            if labels[y, x] != label or fate[y, x] != VISIBLE:
                continue
            target_x, target_y = x + np.float64(flow[y, x, 0]), y + np.float64(flow[y, x, 1])
            column = min(max(np.int64(np.floor(target_x + 0.5)), 0), width - 1)
            row = min(max(np.int64(np.floor(target_y + 0.5)), 0), height - 1)
            if winner[row, column] < 0:
                continue
            there_x, there_y = locate(displacement, winner[row, column], target_x, target_y)
            place_x = min(max(np.int64(np.floor(there_x + 0.5)), 0), width - 1)
            place_y = min(max(np.int64(np.floor(there_y + 0.5)), 0), height - 1)
            if photo_labels[place_y, place_x] == nearer:
                fate[y, x] = HIDDEN


find_covered = compiled(_find_covered)
