"""The next frame: a layered photo after a motion, and the flow and the occlusion between two such views."""

import importlib
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from flowsim.camera import depth_range_terms, pixel_axes
from flowsim.completion import complete_by_reflection
from flowsim.deformation import add_deformation
from flowsim.errors import FlowsimError
from flowsim.kernels.tracking import LEAVES
from flowsim.layers import Layer, LayeredPhoto
from flowsim.sampling import MotionSample
from flowsim.views import NO_LAYER, FlowBetween, Surface, View


def photo_view(photo: LayeredPhoto, image: UInt8[np.ndarray, "h w 3"], device: str = "cpu") -> View:
    """Return the photo itself as a view: the first frame."""
    steps = _steps(device)
    height, width = photo.labels.shape
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    squares = np.minimum(np.arange(height), height - 2)[:, None] * width + np.minimum(np.arange(width), width - 2)
    winner, still = steps.place((2 * squares).astype(np.int32), device), steps.place(np.zeros_like(grid), device)
    surfaces = tuple(Surface(still, winner, steps.place(layer.inverse_depth, device)) for layer in photo.layers)
    return View(image, steps.place(photo.labels, device), steps.place(grid, device), surfaces, device)


def render_view(photo: LayeredPhoto, motions: Sequence[MotionSample], device: str = "cpu") -> View:
    """Render a layered photo after a motion.

    Every layer is a grid of triangles whose corners move as the flow says. The nearest triangle at a pixel tells where
    in the layer the pixel looks; there colour and opacity are interpolated by bicubic convolution (Keys 1981). The
    frame is therefore the photo warped by exactly the map that the flow states.

    Args:
        photo: the layers.
        motions: resolved, for the objects 1, 2, ...; all with the same camera.
        device: `cpu` for compiled loops that give the same bits in any thread; else tensors of torch on that device.

    Returns:
        The frame. Where it shows nothing of the photo, `image` is completed and `labels` is `NO_LAYER`.

    Raises:
        FlowsimError: a motion is unresolved, or an object has none.
    """
    _check_motions(photo, motions)
    steps = _steps(device)
    shape = photo.labels.shape
    colors = steps.place(np.zeros((*shape, 3), np.float32), device)
    labels = steps.place(np.full(shape, NO_LAYER, np.uint8), device)
    source = steps.place(np.full((*shape, 2), np.nan, np.float32), device)
    photo_labels = steps.place(photo.labels, device)
    surfaces = []
    for layer in photo.layers:
        surface = _surface(layer, motions, steps, device)
        surfaces.append(surface)
        layer_source = steps.sources(surface.displacement, surface.winner)
        layer_colors, opacity = steps.place(layer.colors, device), steps.place(layer.opacity, device)
        steps.compose(layer_colors, opacity, photo_labels, layer.label, layer_source, colors, labels, source)
    picture = steps.fetch(colors)
    is_known = steps.fetch(labels) != NO_LAYER
    if is_known.any() and not is_known.all():
        picture = complete_by_reflection(picture, is_known)
    image = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return View(image, labels, source, tuple(surfaces), device)


def flow_between(photo: LayeredPhoto, start: View, end: View) -> FlowBetween:
    """Return the flow from one view to another view of the same photo, and which pixels can be seen there.

    Args:
        photo: the layers.
        start: the view whose pixels are followed.
        end: the view they go to; earlier or later, the photo's own included; on the same device.
    """
    device = start.device
    steps = _steps(device)
    height, width = photo.labels.shape
    found = FlowBetween(
        flow=steps.place(np.zeros((height, width, 2), np.float32), device),
        valid=steps.place(np.zeros((height, width), np.bool_), device),
        fate=steps.place(np.full((height, width), LEAVES, np.uint8), device),
    )
    photo_labels = steps.place(photo.labels, device)
    for rank, (layer, surface) in enumerate(zip(photo.layers, end.surfaces, strict=True)):
        steps.follow(start.labels, start.source, layer.label, surface, found)
        for nearer, cover in zip(photo.layers[rank + 1 :], end.surfaces[rank + 1 :], strict=True):
            steps.find_covered(start.labels, layer.label, photo_labels, nearer.label, cover, found)
    return FlowBetween(*map(steps.fetch, found))


def common_window(labels: Sequence[np.ndarray] | np.ndarray, smallest_part: float = 0.6) -> tuple[slice, slice]:
    """Find the part of the picture in which views show nothing from outside of the photo.

    Rows and columns are cut off one at a time, always at the side of which the largest part is unknown.

    Args:
        labels: (h,w) uint8 of each view.
        smallest_part: at least this part of the height, and of the width, is kept.

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


def fetch_labels(view: View) -> UInt8[np.ndarray, "h w"]:
    """Return which layer is in front at each pixel of a view, as an array on the CPU."""
    labels: np.ndarray = _steps(view.device).fetch(view.labels)
    return labels


def _surface(layer: Layer, motions: Sequence[MotionSample], steps: Any, device: str) -> Surface:
    """Move a layer and find the part of it that is at each pixel of the view."""
    has_own_motion = layer.label > 0 and any(part.moves_object for part in motions)
    motion = motions[layer.label - 1 if has_own_motion else 0]
    moves_alone = has_own_motion and motion.moves_object
    height, width = layer.inverse_depth.shape
    xs, ys = pixel_axes(height, width)
    matrix = motion.matrices(height, width)[1 if moves_alone else 0].astype(np.float32)
    displacement, next_depth = steps.project(
        steps.place(matrix, device),
        steps.place(layer.inverse_depth, device),
        depth_range_terms(motion.far),
        steps.place(xs, device),
        steps.place(ys, device),
    )
    if any(part.is_deformed for part in motions):
        # the hidden part of a layer bends in the same way as the visible one
        bent = np.zeros((height, width, 2), np.float32)
        everywhere = np.full((height, width), layer.label if moves_alone else 0, np.uint8)
        add_deformation(bent, everywhere, motions, (xs, ys), max(height, width))
        displacement += steps.place(bent, device)
        displacement[next_depth < 0] = 0
    used = np.ones((height, width), np.bool_)
    if layer.label > 0:  # squares with a corner that is not quite transparent, and their neighbours
        used = cv2.dilate((layer.opacity > 0).view(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return Surface(displacement, steps.rasterize(displacement, next_depth, steps.place(used, device)), next_depth)


def _steps(device: str) -> Any:
    """Return the module with the steps of rendering on a device."""
    return importlib.import_module("flowsim.rendering_numpy" if device == "cpu" else "flowsim.rendering_torch")


def _check_motions(photo: LayeredPhoto, motions: Sequence[MotionSample]) -> None:
    """Refuse unresolved motions and objects without a motion."""
    if not motions or not all(motion.is_resolved for motion in motions):
        raise FlowsimError("a motion is unresolved (scale -1): use the motion that simulate_flow returns")
    objects = max(layer.label for layer in photo.layers)
    if any(motion.moves_object for motion in motions) and len(motions) < objects:
        raise FlowsimError(f"{len(motions)} motions for {objects} objects: give one for each number from 1 on")
