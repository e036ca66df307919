"""A photo taken apart into layers that can move on their own: each object, and the background behind all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

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
    with `opacity` as the prior; where borders of several objects meet, the nearer object explains what the farther ones
    leave. The unexplained rest of C is shared by all of these layers, so that they give C again.
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
    photo = image.astype(np.float32)
    if not labels.any():
        return LayeredPhoto(labels, (Layer(0, photo, np.ones(labels.shape, np.float32), inverse_depth),))
    grey = (labels > 0).astype(np.float32) if opacity is None else opacity * np.float32(1 / 255)
    numbers = np.unique(labels[labels > 0]).tolist()
    numbers.sort(key=lambda label: float(np.median(inverse_depth[labels == label])))
    is_background = labels == 0
    far_from_objects = _inner(is_background, _band_px(labels, _COLOR_BAND))
    behind = complete(photo, far_from_objects)
    borders = [_border(photo, labels == label, is_background, ~far_from_objects) for label in numbers]
    plate, mattes = _matte(photo, behind, grey, borders)
    depth_behind = _clean_depth(inverse_depth, is_background, np.minimum)
    layers = [Layer(0, plate, np.ones(labels.shape, np.float32), depth_behind)]
    for label, border, (border_colors, border_opacity) in zip(numbers, borders, mattes, strict=True):
        is_object = labels == label
        colors, alpha = photo.copy(), is_object.astype(np.float32)
        colors[border.place], alpha[border.place] = border_colors, border_opacity
        layers.append(Layer(label, colors, alpha, _clean_depth(inverse_depth, is_object, np.maximum)))
    return LayeredPhoto(labels, tuple(layers))


class _Border(NamedTuple):
    """The pixels near an object's border: its own and those of the background, but none of another object.

    Attributes:
        place: rows and columns, (n,) each.
        is_object: (n,) bool, the pixel is the object's own.
        is_mixed: (n,) bool, False where the colour is certainly that of the background alone.
        colors: (n,3) float32, the object's colours continued from its inside.
    """

    place: tuple[np.ndarray, ...]
    is_object: Bool[np.ndarray, " n"]
    is_mixed: Bool[np.ndarray, " n"]
    colors: Float32[np.ndarray, "n 3"]


def _border(photo: np.ndarray, is_object: np.ndarray, is_background: np.ndarray, is_mixed: np.ndarray) -> _Border:
    """Find the border of an object."""
    band_px = _band_px(is_object, _COLOR_BAND)
    sure = _inner(is_object, band_px)
    reach = cv2.dilate(is_object.view(np.uint8), np.ones((2 * int(band_px) + 5,) * 2)) > 0
    place = np.nonzero(reach & ~sure & (is_object | is_background))
    return _Border(place, is_object[place], is_mixed[place], photo[nearest_known(sure, place[0], place[1])])


def _matte(
    photo: np.ndarray, behind: np.ndarray, grey: np.ndarray, borders: Sequence[_Border]
) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Share the colours near borders out among the layers.

    Args:
        photo: (h,w,3).
        behind: (h,w,3), the background continued from outside of the objects.
        grey: (h,w), opacity of all objects together, as the mask says.
        borders: of the objects, from the farthest to the nearest.

    Returns:
        (h,w,3), colours of the background near the borders, elsewhere `behind`; for each object colours and opacity of
        its border's pixels.
    """
    mixture, share = behind.copy(), np.ones(grey.shape, np.float32)  # of the layers so far; the background's share
    opacities = []
    for border in borders:
        at = border.place
        C, F, B = photo[at], border.colors, mixture[at]
        prior = np.clip(1 - (1 - grey[at]) / np.maximum(share[at], 1e-6), 0, 1)  # what objects behind leave of the grey
        prior = np.where(border.is_object, np.maximum(prior, 0.5), np.minimum(prior, 0.5))
        # the a that minimises |C - a F - (1 - a) B|^2 / variance + (a - prior)^2
        difference = F - B
        explained = ((C - B) * difference).sum(1) + _COLOR_VARIANCE * prior
        a = np.clip(explained / ((difference * difference).sum(1) + _COLOR_VARIANCE), 0, 1)
        a[~border.is_mixed] = 0
        mixture[at] = a[:, None] * F + (1 - a[:, None]) * B
        share[at] *= 1 - a
        opacities.append(a)
    # the smallest changes of the colours that make sum_i s_i F_i = C, for the shares s_i of the layers in the mixture
    shares, uncovered, squares = [], np.ones_like(share), share * share
    for border, a in zip(reversed(borders), reversed(opacities), strict=True):
        shares.append(a * uncovered[border.place])
        uncovered[border.place] *= 1 - a
        squares[border.place] += shares[-1] * shares[-1]
    rest = (photo - mixture) / squares[..., None]
    plate = behind.copy()
    for border in borders:
        plate[border.place] = behind[border.place] + share[border.place][:, None] * rest[border.place]
    colors = [
        border.colors + part[:, None] * rest[border.place]
        for border, part in zip(borders, reversed(shares), strict=True)
    ]
    return plate, list(zip(colors, opacities, strict=True))


def _band_px(picture: np.ndarray, part: float) -> float:
    """Return the width of a band around borders in a picture."""
    return max(2.0, part * float(max(picture.shape)))


def _clean_depth(depth: np.ndarray, is_layer: np.ndarray, choose: np.ufunc) -> np.ndarray:
    """Return the depth of a layer on the whole picture: its own inside, continued across the blurred border."""
    sure = _inner(is_layer, _band_px(depth, _DEPTH_BAND))
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
