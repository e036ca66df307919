"""Completion of a picture, or of a depth map, behind an object."""

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int32

from flowsim.kernels.completion import point_at_known, reflect

Completion = Callable[[Float32[np.ndarray, "h w c"], Bool[np.ndarray, "h w"]], Float32[np.ndarray, "h w c"]]
"""A function of values and of a mask of the known ones, which returns the values with the unknown pixels filled in."""


def complete_by_reflection(
    values: Float32[np.ndarray, "h w c"], known: Bool[np.ndarray, "h w"]
) -> Float32[np.ndarray, "h w c"]:
    """Fill a hole with the mirror image of its surroundings.

    Every unknown pixel p takes the value at 2 b - p, where b is the known pixel nearest to p. Texture then continues
    without a seam and without blur, which matters in the narrow bands that a moving object uncovers. If the mirror
    image lies outside the picture or in a hole, p takes the value at b.

    Args:
        values: of any range.
        known: False in the hole; at least one pixel is known.

    Returns:
        Values of the same shape and type.
    """
    completed = values.copy()
    reflect(known, nearest_known(known), completed)
    return completed


def complete_by_inpainting(
    values: Float32[np.ndarray, "h w c"], known: Bool[np.ndarray, "h w"]
) -> Float32[np.ndarray, "h w c"]:
    """Fill a hole of a picture with values in 0..255 by fast marching (Telea 2004, as in OpenCV); smooth and slow."""
    picture = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    filled = cv2.inpaint(picture, (~known).astype(np.uint8), 3, cv2.INPAINT_TELEA)
    return np.where(known[..., None], values, filled.astype(np.float32))


def complete_smoothly(values: Float32[np.ndarray, "h w"], known: Bool[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """Fill a hole with weighted means of its surroundings, from a pyramid (push-pull; Gortler et al. 1996).

    Args:
        values: of any range.
        known: False in the hole; at least one pixel is known.

    Returns:
        Values within the range of the known ones.
    """
    weight = known.astype(np.float32)
    levels = [(values * weight, weight)]
    while (levels[-1][1] <= 0).any():
        levels.append((cv2.pyrDown(levels[-1][0]), cv2.pyrDown(levels[-1][1])))
    coarse = np.zeros((1, 1), np.float32)
    for total, weight in reversed(levels):
        coarse = cv2.resize(coarse, weight.shape[::-1], interpolation=cv2.INTER_LINEAR)
        coarse = np.where(weight > 0, total / np.maximum(weight, 1e-12), coarse).astype(np.float32)
    return coarse


def nearest_known(known: Bool[np.ndarray, "h w"]) -> Int32[np.ndarray, "h w"]:
    """Return row x w + column of the known pixel that is nearest to each pixel; at least one pixel is known."""
    _, numbers = cv2.distanceTransformWithLabels(
        (~known).view(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    places, nearest = np.empty(known.size + 1, np.int32), np.empty(known.shape, np.int32)
    point_at_known(known, numbers, places, nearest)
    return nearest
