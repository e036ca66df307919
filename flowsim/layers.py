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
# Square of the distance in levels by which a colour may differ from every mixture of the colours on both sides, as
# texture makes it differ, and further variance for each level^2 beyond.
_TEXTURE_VARIANCE = 2500.0
_DOUBT = 4.0


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
    leave. Where no a explains C well, the prior counts more. The unexplained rest of C is shared by these layers, so
    that they give C again; most of it goes to the layer that the pixel belongs to.
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
    background, *objects = (_region(labels == label) for label in (0, *numbers))
    far_from_objects = _inner(background, _COLOR_BAND)
    behind = complete(photo, far_from_objects)
    borders = [_border(photo, region, background.is_inside, ~far_from_objects) for region in objects]
    plate, mattes = _matte(photo, behind, grey, borders)
    depth_behind = _clean_depth(inverse_depth, background, np.minimum)
    layers = [Layer(0, plate, np.ones(labels.shape, np.float32), depth_behind)]
    for label, region, border, matte in zip(numbers, objects, borders, mattes, strict=True):
        colors, alpha = photo.copy(), region.is_inside.astype(np.float32)
        colors.reshape(-1, 3)[border.place], alpha.ravel()[border.place] = matte
        layers.append(Layer(label, colors, alpha, _clean_depth(inverse_depth, region, np.maximum)))
    return LayeredPhoto(labels, tuple(layers))


class _Region(NamedTuple):
    """The pixels of a layer.

    Attributes:
        is_inside: (h,w) bool.
        border_px: (h,w) float32, distance from the region's border, inside of it; infinite if it has none.
    """

    is_inside: Bool[np.ndarray, "h w"]
    border_px: Float32[np.ndarray, "h w"]


class _Border(NamedTuple):
    """The pixels near an object's border: its own and those of the background, but none of another object.

    Attributes:
        place: (n,), row x w + column.
        is_object: (n,) bool, the pixel is the object's own.
        is_mixed: (n,) bool, False where the colour is certainly that of the background alone.
        colors: (n,3) float32, the object's colours continued from its inside.
    """

    place: np.ndarray
    is_object: Bool[np.ndarray, " n"]
    is_mixed: Bool[np.ndarray, " n"]
    colors: Float32[np.ndarray, "n 3"]


def _border(photo: np.ndarray, region: _Region, is_background: np.ndarray, is_mixed: np.ndarray) -> _Border:
    """Find the border of an object."""
    is_object, sure = region.is_inside, _inner(region, _COLOR_BAND)
    reach_px = int(_band_px(is_object, _COLOR_BAND)) + 2
    reach = cv2.dilate(is_object.view(np.uint8), np.ones((2 * reach_px + 1, 2 * reach_px + 1))) > 0
    place = np.flatnonzero(reach & ~sure & (is_object | is_background))
    colors = photo.reshape(-1, 3)[nearest_known(sure).ravel()[place]]
    return _Border(place, is_object.ravel()[place], is_mixed.ravel()[place], colors)


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
    photo, plate, grey = photo.reshape(-1, 3), behind.reshape(-1, 3).copy(), grey.ravel()
    mixture, share = plate.copy(), np.ones_like(grey)  # of the layers so far; the background's share in it
    ease = np.ones_like(grey)  # how easily the background takes what no mixture explains
    opacities, eases = [], []
    for border in borders:
        at = border.place
        C, F, B = photo[at], border.colors, mixture[at]
        prior = np.clip(1 - (1 - grey[at]) / np.maximum(share[at], 1e-6), 0, 1)  # what objects behind leave of the grey
        prior = np.where(border.is_object, np.maximum(prior, 0.5), np.minimum(prior, 0.5))
        # the a that minimises |C - a F - (1 - a) B|^2 / variance + (a - prior)^2; what no mixture explains adds doubt
        difference = F - B
        length = (difference * difference).sum(1)
        best = np.clip(((C - B) * difference).sum(1) / np.maximum(length, 1e-6), 0, 1)
        unexplained = C - B - best[:, None] * difference
        variance = _COLOR_VARIANCE + _DOUBT * np.maximum((unexplained * unexplained).sum(1) - _TEXTURE_VARIANCE, 0)
        a = (length * best + variance * prior) / (length + variance)
        a[~border.is_mixed] = 0
        mixture[at] = a[:, None] * F + (1 - a[:, None]) * B
        share[at] *= 1 - a
        opacities.append(a)
        eases.append(np.where(border.is_object, 1, _COLOR_VARIANCE / variance))
        ease[at] *= np.where(border.is_object, _COLOR_VARIANCE / variance, 1)
    # the smallest changes of the colours that make sum_i s_i F_i = C, for the shares s_i of the layers in the mixture
    shares, uncovered = [], np.ones_like(share)
    for border, a in zip(reversed(borders), reversed(opacities), strict=True):
        shares.append(a * uncovered[border.place])
        uncovered[border.place] *= 1 - a
    shares.reverse()
    total = ease * share * share
    for border, own_ease, part in zip(borders, eases, shares, strict=True):
        total[border.place] += own_ease * part * part
    mattes = []
    for border, own_ease, part, a in zip(borders, eases, shares, opacities, strict=True):
        at = border.place
        rest = (photo[at] - mixture[at]) / total[at][:, None]
        plate[at] = behind.reshape(-1, 3)[at] + (ease[at] * share[at])[:, None] * rest
        mattes.append((border.colors + (own_ease * part)[:, None] * rest, a))
    return plate.reshape(behind.shape), mattes


def _band_px(picture: np.ndarray, part: float) -> float:
    """Return the width of a band around borders in a picture."""
    return max(2.0, part * float(max(picture.shape)))


def _clean_depth(depth: np.ndarray, region: _Region, choose: np.ufunc) -> np.ndarray:
    """Return the depth of a layer on the whole picture: its own inside, continued across the blurred border."""
    sure = _inner(region, _DEPTH_BAND)
    continued = complete_smoothly(depth, sure)
    cleaned: np.ndarray = np.where(region.is_inside & ~sure, choose(depth, continued), continued)
    np.copyto(cleaned, depth, where=sure)
    return cleaned


def _region(is_inside: np.ndarray) -> _Region:
    """Return a region with the distances from its border."""
    if is_inside.all():
        return _Region(is_inside, np.full(is_inside.shape, np.inf, np.float32))
    return _Region(is_inside, cv2.distanceTransform(is_inside.view(np.uint8), cv2.DIST_L2, 5))


def _inner(region: _Region, part: float) -> Bool[np.ndarray, "h w"]:
    """Return the pixels of a region that are further than a band's width from its border, or its innermost ones."""
    inner: np.ndarray = region.border_px > min(_band_px(region.border_px, part), 0.7 * float(region.border_px.max()))
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
