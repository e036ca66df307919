"""A clip from a photo: the next frames, and flow, occlusion and labels that belong to them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from jaxtyping import UInt8

from flowsim.layers import LayeredPhoto
from flowsim.magnitude import resolve
from flowsim.paths import motion_paths
from flowsim.rendering import common_window, fetch_labels, flow_between, photo_view, render_view
from flowsim.sampling import MotionSample
from flowsim.views import FlowBetween


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames of a photo under a motion; t frames, of which the first is the photo.

    Attributes:
        images: (t-1,h,w,3) uint8: the frames after the photo.
        labels: (t-1,h,w) uint8, of these frames: 0 = background, i = object i, `NO_LAYER` = nothing of the photo.
        forward: from each frame to the next one, t-1 fields.
        backward: from each frame after the photo to the one before, t-1 fields.
        window: rows and columns in which all frames show the photo alone, as far as the motion allows it.
        motions: resolved, from the photo to the second frame, for the objects 1, 2, ...
    """

    images: UInt8[np.ndarray, "steps h w 3"]
    labels: UInt8[np.ndarray, "steps h w"]
    forward: tuple[FlowBetween, ...]
    backward: tuple[FlowBetween, ...]
    window: tuple[slice, slice]
    motions: tuple[MotionSample, ...]


def make_clip(
    image: UInt8[np.ndarray, "h w 3"],
    photo: LayeredPhoto,
    motions: Sequence[MotionSample],
    frames: int = 2,
    device: str = "cpu",
) -> Clip:
    """Move a layered photo and render the frames after it.

    The softening of flow (`blur`) is switched off: the flow of a clip is exactly the map that renders its frames.

    Args:
        image: the photo.
        photo: its layers.
        motions: for the objects 1, 2, ..., all with the same camera; resolved here if they are not.
        frames: frames of the clip, the photo included; 2 .. 16.
        device: where to render: `cpu`, or a device of torch.

    Returns:
        The clip. On the CPU the same arguments give the same bits in any thread.

    Raises:
        FlowsimError: the number of frames is out of range, or an object has no motion.
    """
    motions = tuple(replace(motion, blur=0.0) for motion in motions)
    if not motions[0].is_resolved:
        moves_objects = any(motion.moves_object for motion in motions)
        motions = resolve(motions, photo.inverse_depth, photo.labels if moves_objects else None)
    paths = motion_paths(motions, frames)
    views = [photo_view(photo, image, device), *(render_view(photo, motions, device) for motions in paths)]
    labels = np.stack([fetch_labels(view) for view in views[1:]])
    return Clip(
        images=np.stack([view.image for view in views[1:]]),
        labels=labels,
        forward=tuple(flow_between(photo, *pair) for pair in pairwise(views)),
        backward=tuple(flow_between(photo, *pair) for pair in zip(views[1:], views, strict=False)),
        window=common_window(labels),
        motions=motions,
    )
