"""A photo with smaller objects: its objects drawn smaller in front of the completed background."""

import math
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from flowsim.layers import Layer, separate_layers
from flowsim.prior import MotionPrior, quantile

# Objects are not drawn smaller than this part of their size in the photo.
_SMALLEST = 0.25
# Objects that come this close to the border of the picture, in px, are cut off by it.
_MARGIN_PX = 2


class AnnotatedPhoto(NamedTuple):
    """A photo with what is known about its pixels.

    Attributes:
        image: (h,w,3) uint8.
        inverse_depth: (h,w) float32, normalised, in [0,1], 1 = nearest.
        labels: (h,w) uint8, 0 = background, i = object i.
        opacity: (h,w) uint8, 255 = object.
    """

    image: UInt8[np.ndarray, "h w 3"]
    inverse_depth: Float32[np.ndarray, "h w"]
    labels: UInt8[np.ndarray, "h w"]
    opacity: UInt8[np.ndarray, "h w"]


def draw_object_area(prior: MotionPrior, seed: int, sample_id: str) -> float:
    """Draw the part of the picture that the objects of a photo may cover; it depends on these arguments alone.

    Returns:
        The part; 1 if the prior leaves objects as large as they are.
    """
    from flowsim.sampling import photo_number

    return quantile(prior.object_area, photo_number(seed, sample_id)) if prior.object_area else 1.0


def with_smaller_objects(photo: AnnotatedPhoto, area: float) -> AnnotatedPhoto:
    """Draw all objects of a photo smaller, by one factor, so that they cover no more than a part of the picture.

    The objects shrink towards their middle, or towards the border of the picture that cuts them off. Their depths stay.

    Args:
        photo: photo with its objects.
        area: part of the picture that the objects may cover. The factor is never below 1/4.

    Returns:
        The new picture. It is the photo itself if the objects are small enough, if they reach from one border of the
        picture to the opposite one, or if one of them would vanish.
    """
    is_object = photo.labels > 0
    share = float(is_object.mean())
    places = [_fixed_place(np.asarray(is_object.any(axis))) for axis in (1, 0)]
    if share <= area or None in places:
        return photo
    factor = max(_SMALLEST, math.sqrt(area / share))
    window = _window(is_object.shape, factor, places)
    background, *objects = separate_layers(*photo).layers
    colors, depth = background.colors.copy(), background.inverse_depth.copy()
    labels, transparency = np.zeros_like(photo.labels), np.ones(is_object.shape, np.float32)
    for layer in objects:
        _draw(layer, colors[window], depth[window], labels[window], transparency[window])
    if len(np.unique(labels)) < len(np.unique(photo.labels)):
        return photo
    image = np.clip(np.rint(colors), 0, 255).astype(np.uint8)
    return AnnotatedPhoto(image, np.clip(depth, 0, 1), labels, np.rint(255 * (1 - transparency)).astype(np.uint8))


def _fixed_place(occupied: np.ndarray) -> float | None:
    """Return the place along one axis, from 0 to 1, that objects shrink to; None if they reach both borders."""
    at_start, at_end = bool(occupied[:_MARGIN_PX].any()), bool(occupied[-_MARGIN_PX:].any())
    if at_start or at_end:
        return None if at_start and at_end else float(at_end)
    return float(np.flatnonzero(occupied).mean() / (len(occupied) - 1)) if occupied.any() else 0.5


def _window(shape: tuple[int, ...], factor: float, places: list[float | None]) -> tuple[slice, ...]:
    """Return the rows and columns that the whole photo shrinks to."""
    window = []
    for side, place in zip(shape, places, strict=True):
        shorter = max(1, round(side * factor))
        start = round((place or 0.0) * (side - shorter))
        window.append(slice(start, start + shorter))
    return tuple(window)


def _draw(layer: Layer, colors: np.ndarray, depth: np.ndarray, labels: np.ndarray, transparency: np.ndarray) -> None:
    """Draw a layer over a part of a picture, as small as that part."""
    height, width = labels.shape
    weighted = layer.colors * layer.opacity[..., None]
    own_colors, opacity, nearness = (
        np.asarray(cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA))
        for plane in (weighted, layer.opacity, layer.inverse_depth)
    )
    colors *= 1 - opacity[..., None]
    colors += own_colors
    is_object = opacity >= 0.5
    depth[is_object] = nearness[is_object]
    labels[is_object] = layer.label
    transparency *= 1 - opacity
