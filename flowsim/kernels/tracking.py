"""Tracking of the pixels of one view: their positions in another view, and their visibility there."""

from typing import Any

import numpy as np

from flowsim.kernels.jit import compiled
from flowsim.kernels.rasterization import corners, locate

VISIBLE, HIDDEN, LEAVES = 0, 1, 2
FOLD = 1e-3
"""A surface hides a part of itself that is farther away by more than this inverse depth."""
NEIGHBOURHOOD_PX = 1.5
"""A triangle hides a pixel of its own surface only if its middle is farther from the pixel than this."""


def _follow(labels: Any, source: Any, label: Any, surface: Any, found: Any) -> None:
    """Follow the pixels of a view that show one layer to another view.

    Args:
        labels: (h,w) uint8: the layer in front in the first view.
        source: (h,w,2) float32: column and row in the layer that each pixel shows.
        label: number of the layer.
        surface: `views.Surface` of the layer in the second view.
        found: `views.FlowBetween`, written: flow and validity, and as fate `LEAVES`, `HIDDEN` where the layer folds
            over itself, else `VISIBLE`.
    """
    displacement, winner, next_depth = surface
    flow, valid, fate = found
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            if labels[y, x] != label:
                continue
            sx, sy = np.float64(source[y, x, 0]), np.float64(source[y, x, 1])
            x0 = min(max(np.int64(np.floor(sx)), 0), width - 2)
            y0 = min(max(np.int64(np.floor(sy)), 0), height - 2)
            fx, fy = sx - x0, sy - y0
            xa, ya, xb, yb, xc, yc = x0, y0, x0 + 1, y0, x0, y0 + 1
            if fx + fy > 1:
                fx, fy = 1 - fx, 1 - fy
                xa, ya, xb, yb, xc, yc = x0 + 1, y0 + 1, x0, y0 + 1, x0 + 1, y0
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
            apart = abs(triangle // 2 - (y0 * width + x0))
            if apart <= 1 or abs(apart - width) <= 1:  # the same square or one beside it, found without divisions
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


def _find_covered(labels: Any, label: Any, photo_labels: Any, nearer: Any, cover: Any, found: Any) -> None:
    """Mark the pixels of a layer whose targets a nearer layer covers.

    Args:
        labels: (h,w) uint8: the layer in front in the first view.
        label: number of the layer.
        photo_labels: (h,w) uint8: the layer that each pixel of the photo belongs to.
        nearer: number of the nearer layer.
        cover: `views.Surface` of the nearer layer in the second view.
        found: `views.FlowBetween`; the flow to the second view is read, the fate is written.
    """
    displacement, winner, _ = cover
    flow, _, fate = found
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
