"""A photo taken apart into layers that can move on their own: each object, and the background behind all of them."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from flowsim.completion import Completion, complete_by_reflection, complete_smoothly, nearest_known
from flowsim.errors import FlowsimError

# Half the width of the band around an object's border in which colours, or depths, of both sides mix; part of the
# picture's longer side. Depth networks blur more than cameras do.
_COLOR_BAND = 0.0075
_DEPTH_BAND = 0.015
# Variance in levels^2 of the colours that the mask's own opacity is weighed against.
_COLOR_VARIANCE = 400.0


@dataclass(frozen=True, eq=False)
class Layer:
    """One surface of the scene, with the parts that other layers hide completed.

    Attributes:
        label: 0 = background, i = object i.
        colors: (h,w,3) float32 in 0..255, of the surface alone: no colour of another layer is mixed in.
        opacity: (h,w) float32 in [0,1].
        inverse_depth: (h,w) float32, normalised, in [0,1].
    """

    label: int
    colors: Float32[np.ndarray, "h w 3"]
    opacity: Float32[np.ndarray, "h w"]
    inverse_depth: Float32[np.ndarray, "h w"]


@dataclass(frozen=True, eq=False)
class LayeredPhoto:
    """A photo as layers. Laid over each other in their order, the layers give exactly the photo again.

    Attributes:
        labels: (h,w) uint8: the layer that each pixel of the photo belongs to.
        layers: from the farthest, which is the background, to the nearest.
    """

    labels: UInt8[np.ndarray, "h w"]
    layers: tuple[Layer, ...]

    @property
    def inverse_depth(self) -> Float32[np.ndarray, "h w"]:
        """Normalised inverse depth of what the photo shows, with sharp borders between the layers."""
        depth = self.layers[0].inverse_depth.copy()
        for layer in self.layers[1:]:
            np.copyto(depth, layer.inverse_depth, where=self.labels == layer.label)
        return depth


def separate_layers(
    image: np.ndarray,
    inverse_depth: np.ndarray,
    labels: np.ndarray,
    opacity: np.ndarray | None = None,
    complete: Completion = complete_by_reflection,
) -> LayeredPhoto:
    """Take a photo apart: its objects, in the order of their depths, in front of a completed background.

    At an object's border the photo C is a mixture of the object's colour F and the colour B behind it, C = a F + (1 -
    a) B. F is continued from inside the object and B from outside of it. The opacity a is the one that explains C best,
    with `opacity` as the prior. The unexplained rest of C is shared by F and B, so that the layers give C again.
    Depth networks blur depth across borders, so each side takes its depth from beyond the blur.

    Args:
        image: (h,w,3) uint8, the photo.
        inverse_depth: (h,w) float32, normalised, in [0,1], 1 = nearest.
        labels: (h,w) uint8, 0 = background, i = object i.
        opacity: (h,w) uint8 grey masks, 255 = object; None = from the labels.
        complete: function that fills in the hidden colours.

    Returns:
        The layers. An object without pixels has no layer.

    Raises:
        FlowsimError: the shapes or types do not belong together, or the picture has no background.
    """
    _check(image, inverse_depth, labels, opacity)
    side = max(labels.shape)
    photo = image.astype(np.float32)
    if not labels.any():
        return LayeredPhoto(labels, (Layer(0, photo, np.ones(labels.shape, np.float32), inverse_depth),))
    grey = (labels > 0).astype(np.float32) if opacity is None else opacity * np.float32(1 / 255)
    is_background = labels == 0
    far_from_objects = _inner(is_background, max(2.0, _COLOR_BAND * side))
    behind = complete(photo, far_from_objects)
    plate = np.where(is_background[..., None], photo, behind)
    depth_behind = _clean_depth(inverse_depth, is_background, max(2.0, _DEPTH_BAND * side), np.minimum)
    objects = []
    for label in np.unique(labels[labels > 0]).tolist():
        is_object = labels == label
        prior = np.where(is_object, np.maximum(grey, 0.5), np.where(is_background, np.minimum(grey, 0.5), 0))
        colors, alpha = _matte(photo, behind, is_object, is_background, prior, far_from_objects, plate, side)
        depth = _clean_depth(inverse_depth, is_object, max(2.0, _DEPTH_BAND * side), np.maximum)
        objects.append(Layer(label, colors, alpha, depth))
    objects.sort(key=lambda layer: float(np.median(inverse_depth[labels == layer.label])))
    background = Layer(0, plate, np.ones(labels.shape, np.float32), depth_behind)
    return LayeredPhoto(labels, (background, *objects))


def _matte(
    photo: np.ndarray,
    behind: np.ndarray,
    is_object: np.ndarray,
    is_background: np.ndarray,
    prior: np.ndarray,
    sure_background: np.ndarray,
    plate: np.ndarray,
    side: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return colours and opacity of an object; write the colours of the background near its border into `plate`."""
    sure = _inner(is_object, max(2.0, _COLOR_BAND * side))
    reach = cv2.dilate(is_object.view(np.uint8), np.ones((2 * int(max(2.0, _COLOR_BAND * side)) + 5,) * 2)) > 0
    rows, columns = np.nonzero(reach & ~sure & (is_object | is_background))
    near = nearest_known(sure, rows, columns)
    C, B, F = photo[rows, columns], behind[rows, columns], photo[near]
    difference = F - B
    # the a that minimises |C - a F - (1 - a) B|^2 / variance + (a - prior)^2
    explained = ((C - B) * difference).sum(1) + _COLOR_VARIANCE * prior[rows, columns]
    a = np.clip(explained / ((difference * difference).sum(1) + _COLOR_VARIANCE), 0, 1)
    a[sure_background[rows, columns]] = 0
    alpha = a[:, None]
    b = 1 - alpha
    # the smallest changes of F and B that make a F + b B = C
    rest = (C - alpha * F - b * B) / (alpha * alpha + b * b)
    colors = photo.copy()
    colors[rows, columns] = F + alpha * rest
    opacity = is_object.astype(np.float32)
    opacity[rows, columns] = a
    plate[rows, columns] = B + b * rest
    return colors, opacity


def _clean_depth(depth: np.ndarray, is_layer: np.ndarray, band_px: float, choose: np.ufunc) -> np.ndarray:
    """Return the depth of a layer on the whole picture: its own inside, continued across the blurred border."""
    sure = _inner(is_layer, band_px)
    continued = complete_smoothly(depth, sure)
    cleaned: np.ndarray = np.where(is_layer & ~sure, choose(depth, continued), continued)
    np.copyto(cleaned, depth, where=sure)
    return cleaned


def _inner(region: Bool[np.ndarray, "h w"], margin_px: float) -> Bool[np.ndarray, "h w"]:
    """Return the pixels of a region that are further than a margin from its border, or its innermost ones."""
    if region.all():
        return region
    distance: np.ndarray = cv2.distanceTransform(region.view(np.uint8), cv2.DIST_L2, 5)
    inner: np.ndarray = distance > min(margin_px, 0.7 * float(distance.max()))
    return inner


def _check(image: np.ndarray, depth: np.ndarray, labels: np.ndarray, opacity: np.ndarray | None) -> None:
    """Refuse arrays that do not belong together, and a picture without background."""
    shape = image.shape[:2]
    fits = image.ndim == 3 and image.shape[2] == 3 and depth.shape == labels.shape == shape and min(shape) >= 2
    fits = fits and (opacity is None or opacity.shape == shape)
    types = (image.dtype, depth.dtype, labels.dtype, np.dtype("u1") if opacity is None else opacity.dtype)
    if not fits or types != tuple(map(np.dtype, ("u1", "f4", "u1", "u1"))):
        raise FlowsimError(
            f"image is {image.dtype} {image.shape}, inverse_depth {depth.dtype} {depth.shape}, labels {labels.dtype} "
            f"{labels.shape}; expected uint8 (h,w,3), float32 (h,w), uint8 (h,w) and opacity uint8 (h,w), 2 px or more"
        )
    if labels.all():
        raise FlowsimError("the objects cover the whole picture: there is no background to complete")
