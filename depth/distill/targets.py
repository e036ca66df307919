"""Targets of a student: the teacher's inverse depth with a sharper, nearer salient object."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

LIFT_MARGIN = 0.1
"""Least wanted difference between the mean inverse depth in [0, 1] of a masked object and that of the rest."""

Map = NDArray[np.float32]


def normalize_inverse_depth(teacher: Map, meaning: str) -> Map:
    """Scale a teacher's map to inverse depth in [0, 1], between its 1st and 99th percentile.

    Args:
        teacher: (h, w) map of the teacher.
        meaning: `depth` (larger = farther; values below 1 count as 1) or `inverse-depth` (larger = nearer).

    Returns:
        (h, w) float32; a constant map becomes zeros.
    """
    inverse = teacher if meaning == "inverse-depth" else 1.0 / np.maximum(teacher, 1.0)
    low, high = np.percentile(inverse, (1, 99))
    if high <= low:
        return np.zeros(teacher.shape, np.float32)
    normalized: Map = np.clip((inverse - low) / (high - low), 0, 1).astype(np.float32)
    return normalized


def lift_object(inverse_depth: Map, mask: Map) -> Map:
    """Sharpen a soft depth map at the object's outline, and move the object nearer than the rest.

    A band along the outline is filled anew from its own side of the outline, because a soft map mixes both sides there.
    Then the whole object is raised if its mean is less than `LIFT_MARGIN` above the mean of the rest.

    Args:
        inverse_depth: (h, w) float32 in [0, 1].
        mask: (h, w) float32 in [0, 1], the object's coverage; empty or full masks change nothing.

    Returns:
        (h, w) float32 in [0, 1].
    """
    inside = mask > 0.5
    if not inside.any() or inside.all():
        return inverse_depth
    band = max(3, round(max(mask.shape) / 16) | 1)
    kernel = np.ones((band, band), np.uint8)
    objects = inside.astype(np.uint8)
    core = cv2.erode(objects, kernel, borderType=cv2.BORDER_REPLICATE).astype(np.float32)
    far_field = 1 - cv2.dilate(objects, kernel, borderType=cv2.BORDER_REPLICATE).astype(np.float32)
    object_depth = _fill(inverse_depth, core if core.any() else objects.astype(np.float32), 2 * band + 1)
    rest_depth = _fill(inverse_depth, far_field if far_field.any() else 1 - objects.astype(np.float32), 2 * band + 1)
    shortfall = rest_depth[~inside].mean() + LIFT_MARGIN - object_depth[inside].mean()
    lifted: Map = mask * (object_depth + max(0.0, float(shortfall))) + (1 - mask) * rest_depth
    return np.clip(lifted, 0, 1)


def _fill(values: Map, known: Map, width: int) -> Map:
    """Keep `values` where `known` is 1, and fill the rest with local means of known values (normalised convolution)."""
    weight = cv2.blur(known, (width, width))
    mean = float((values * known).sum() / known.sum())
    local = (cv2.blur(values * known, (width, width)) + 1e-3 * mean) / (weight + 1e-3)
    filled: Map = np.where(known > 0.5, values, local).astype(np.float32)
    return filled
