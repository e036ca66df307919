"""The next frame: what a layered photo looks like after a motion, and the flow and occlusion between two such views."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int32, UInt8

from flowsim.camera import depth_range_terms, pixel_axes
from flowsim.completion import complete_by_reflection
from flowsim.deformation import add_deformation
from flowsim.errors import FlowsimError
from flowsim.kernels import rasterization
from flowsim.kernels.composition import compose
from flowsim.kernels.tracking import LEAVES, find_covered, follow
from flowsim.layers import Layer, LayeredPhoto
from flowsim.sampling import MotionSample

NO_LAYER = 255


class Surface(NamedTuple):
    """A layer as one view shows it.

    Attributes:
        displacement: (h,w,2) float32 px: from each pixel of the photo to its place in the view.
        winner: (h,w) int32: the triangle of the warped pixel grid at each pixel of the view; -1 = none.
        next_depth: (h,w) float32: inverse depth of every pixel of the photo as the view's camera sees it.
    """

    displacement: Float32[np.ndarray, "h w 2"]
    winner: Int32[np.ndarray, "h w"]
    next_depth: Float32[np.ndarray, "h w"]


@dataclass(frozen=True, eq=False)
class View:
    """A frame: what is seen of a layered photo after a motion.

    Attributes:
        image: (h,w,3) uint8.
        labels: (h,w) uint8: the layer in front; `NO_LAYER` where the photo shows nothing of what is seen here.
        source: (h,w,2) float32: column and row in the photo of what is in front; NaN where nothing is.
        surfaces: of the layers, in their order.
    """

    image: UInt8[np.ndarray, "h w 3"]
    labels: UInt8[np.ndarray, "h w"]
    source: Float32[np.ndarray, "h w 2"]
    surfaces: tuple[Surface, ...]


class FlowBetween(NamedTuple):
    """Where the pixels of one view are in another.

    Attributes:
        flow: (h,w,2) float32 px; 0 where not valid.
        valid: (h,w) bool: False where nothing of the photo is seen, or goes behind the camera.
        fate: (h,w) uint8: `VISIBLE`, `HIDDEN` behind something nearer, or `LEAVES` the picture.
    """

    flow: Float32[np.ndarray, "h w 2"]
    valid: Bool[np.ndarray, "h w"]
    fate: UInt8[np.ndarray, "h w"]


def photo_view(photo: LayeredPhoto, image: UInt8[np.ndarray, "h w 3"]) -> View:
    """Return the photo itself as a view: the first frame."""
    height, width = photo.labels.shape
    grid = _grid(height, width)
    places = np.minimum(np.arange(height), height - 2)[:, None] * width + np.minimum(np.arange(width), width - 2)
    winner = (2 * places).astype(np.int32)
    surfaces = tuple(Surface(np.zeros_like(grid), winner, layer.inverse_depth) for layer in photo.layers)
    return View(image, photo.labels, grid, surfaces)


def render_view(photo: LayeredPhoto, motions: Sequence[MotionSample]) -> View:
    """Render a layered photo after a motion.

    Every layer is a grid of triangles whose corners move as the flow says. The nearest triangle at a pixel tells where
    in the layer the pixel looks; there colour and opacity are interpolated by bicubic convolution (Keys 1981). So the
    frame is the photo warped by the very map that the flow states.

    Args:
        photo: the layers.
        motions: resolved, for the objects 1, 2, ...; all with the same camera.

    Returns:
        The frame. Where it shows nothing of the photo, `image` is completed and `labels` is `NO_LAYER`.

    Raises:
        FlowsimError: a motion is unresolved, or an object has none.
    """
    _check_motions(photo, motions)
    height, width = photo.labels.shape
    shape = (height, width)
    colors = np.zeros((*shape, 3), np.float32)
    labels = np.full(shape, NO_LAYER, np.uint8)
    source = np.full((*shape, 2), np.nan, np.float32)
    surfaces = []
    for layer in photo.layers:
        surface = _surface(layer, motions)
        surfaces.append(surface)
        layer_source = np.empty((*shape, 2), np.float32)
        rasterization.sources(surface.displacement, surface.winner, layer_source)
        compose(layer.colors, layer.opacity, photo.labels, layer.label, layer_source, colors, labels, source)
    shows_nothing = np.isnan(source[..., 0])
    if shows_nothing.any() and not shows_nothing.all():
        colors = complete_by_reflection(colors, ~shows_nothing)
    image = np.clip(np.rint(colors), 0, 255).astype(np.uint8)
    return View(image, labels, source, tuple(surfaces))


def flow_between(photo: LayeredPhoto, start: View, end: View) -> FlowBetween:
    """Return where each pixel of one view is in another view of the same photo, and whether it can be seen there.

    Args:
        photo: the layers.
        start: the view whose pixels are followed.
        end: the view they go to; earlier or later, the photo's own included.
    """
    height, width = start.labels.shape
    flow = np.zeros((height, width, 2), np.float32)
    valid = np.zeros((height, width), np.bool_)
    fate = np.full((height, width), LEAVES, np.uint8)
    for rank, (layer, surface) in enumerate(zip(photo.layers, end.surfaces, strict=True)):
        follow(
            start.labels,
            start.source,
            layer.label,
            surface.displacement,
            surface.next_depth,
            surface.winner,
            flow,
            valid,
            fate,
        )
        for nearer, cover in zip(photo.layers[rank + 1 :], end.surfaces[rank + 1 :], strict=True):
            find_covered(
                start.labels, layer.label, flow, photo.labels, nearer.label, cover.displacement, cover.winner, fate
            )
    return FlowBetween(flow, valid, fate)


def common_window(labels: Sequence[np.ndarray], smallest_part: float = 0.6) -> tuple[slice, slice]:
    """Find a part of the picture in which views need nothing from outside of the photo.

    Rows and columns are cut off one at a time, always at the side of which the largest part is unknown.

    Args:
        labels: (h,w) uint8 of each view.
        smallest_part: cut off no more than leaves this part of the height and of the width.

    Returns:
        Rows and columns; the whole picture where the views show the photo everywhere.
    """
    is_unknown: np.ndarray = np.any([part == NO_LAYER for part in labels], axis=0)
    height, width = is_unknown.shape
    top, bottom, left, right = 0, height, 0, width
    while is_unknown[top:bottom, left:right].any():
        window = is_unknown[top:bottom, left:right]
        is_high, is_wide = bottom - top > smallest_part * height, right - left > smallest_part * width
        parts = [
            window[0].mean() if is_high else 0,
            window[-1].mean() if is_high else 0,
            window[:, 0].mean() if is_wide else 0,
            window[:, -1].mean() if is_wide else 0,
        ]
        side = int(np.argmax(parts))
        if parts[side] == 0:
            break
        top, bottom = top + (side == 0), bottom - (side == 1)
        left, right = left + (side == 2), right - (side == 3)
    return slice(top, bottom), slice(left, right)


def _surface(layer: Layer, motions: Sequence[MotionSample]) -> Surface:
    """Move a layer and find which part of it is at each pixel of the view."""
    motion = motions[max(layer.label - 1, 0)] if layer.label <= len(motions) else motions[0]
    moves_alone = layer.label > 0 and motion.moves_object
    height, width = layer.inverse_depth.shape
    xs, ys = pixel_axes(height, width)
    displacement = np.empty((height, width, 2), np.float32)
    next_depth = np.empty((height, width), np.float32)
    matrix = motion.matrices(height, width)[1 if moves_alone else 0].astype(np.float32)
    nearness = np.array(depth_range_terms(motion.far), np.float32)
    rasterization.project(matrix, layer.inverse_depth, nearness, xs, ys, displacement, next_depth)
    # the whole layer bends as its part that the photo shows
    everywhere = np.full((height, width), layer.label if moves_alone else 0, np.uint8)
    add_deformation(displacement, everywhere, motions, (xs, ys), max(height, width))
    displacement[next_depth < 0] = 0
    used = np.ones((height, width), np.bool_)
    if layer.label > 0:  # squares with a corner that is not quite transparent, and their neighbours
        used = cv2.dilate((layer.opacity > 0).view(np.uint8), np.ones((3, 3), np.uint8)) > 0
    nearest = np.full((height, width), -1, np.float32)
    winner = np.full((height, width), rasterization.NOTHING, np.int32)
    rasterization.rasterize(displacement, next_depth, used, nearest, winner)
    return Surface(displacement, winner, next_depth)


def _grid(height: int, width: int) -> Float32[np.ndarray, "h w 2"]:
    """Column and row of every pixel."""
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)


def _check_motions(photo: LayeredPhoto, motions: Sequence[MotionSample]) -> None:
    if not motions or not all(motion.is_resolved for motion in motions):
        raise FlowsimError("a motion is unresolved (scale -1): use the motion that simulate_flow returns")
    if any(motion.moves_object for motion in motions) and len(motions) < len(photo.layers) - 1:
        raise FlowsimError(f"{len(motions)} motions for {len(photo.layers) - 1} objects: give one each")
