"""The flow of one photo under one motion, on the CPU."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32

from flowsim.camera import pixel_axes
from flowsim.deformation import add_deformation, gaussian_weights
from flowsim.errors import FlowsimError
from flowsim.magnitude import resolve
from flowsim.sampling import MotionSample


class SimulatedFlow(NamedTuple):
    """Flow of one photo under one motion.

    Attributes:
        flow: (h,w,2) float32, px; u to the right, v down; 0 where not valid.
        valid: (h,w) bool; False where the point comes to lie behind the camera.
        motion: resolved motion, which gives the same flow again from the same depth and mask.
    """

    flow: Float32[np.ndarray, "h w 2"]
    valid: Bool[np.ndarray, "h w"]
    motion: MotionSample


def simulate_flow(normalized_inverse_depth: np.ndarray, mask: np.ndarray | None, motion: MotionSample) -> SimulatedFlow:
    """Make the flow of a photo under a motion; the size of an unresolved motion is found first (`resolve`).

    The computation runs in the calling thread and releases the GIL. The same arguments give the same bits in any
    thread.

    Args:
        normalized_inverse_depth: (h,w) float32 in [0,1], 1 = nearest: output of a depth network, normalised per photo.
        mask: (h,w) bool, the object; may be None if the motion does not move the object on its own.
        motion: a motion from `sample_motion`, or a resolved motion to make the same flow again.

    Returns:
        Flow, validity and the resolved motion.

    Raises:
        FlowsimError: wrong shape or type, depth that is not finite or not in [0,1], or a missing mask.
    """
    depth = normalized_inverse_depth
    if depth.ndim != 2 or depth.dtype != np.float32 or depth.size == 0:
        raise FlowsimError(
            f"normalized_inverse_depth is {depth.dtype} of shape {depth.shape}, expected float32 (h,w), not empty"
        )
    if mask is None and motion.moves_object:
        raise FlowsimError("this motion moves the object on its own: give its mask, or draw from a prior that does not")
    if mask is not None and (mask.shape != depth.shape or mask.dtype != np.bool_):
        raise FlowsimError(
            f"mask is {mask.dtype} of shape {mask.shape}, expected bool of the depth's shape {depth.shape}; "
            "threshold grey masks first"
        )
    from flowsim.kernels.flow import fill_flow

    depth = np.ascontiguousarray(depth)
    object_mask = np.ascontiguousarray(mask) if mask is not None and motion.moves_object else None
    height, width = depth.shape
    if not motion.is_resolved:
        (motion,) = resolve([motion], depth, None if object_mask is None else object_mask.view(np.uint8))
    flow = np.empty((height, width, 2), np.float32)
    valid = np.empty((height, width), np.bool_)
    labels = np.empty((0, 0), np.uint8) if object_mask is None else object_mask.view(np.uint8)
    matrices = motion.matrices(height, width)[: 1 if object_mask is None else 2].astype(np.float32)
    outside = fill_flow(depth, labels, matrices, *pixel_axes(height, width), flow.reshape(height, -1), valid)
    if outside:
        raise FlowsimError(
            f"normalized_inverse_depth of shape {depth.shape} has {outside} values that are not in [0, 1]; "
            "normalise it per photo, and replace NaN"
        )
    return SimulatedFlow(_deformed(flow, valid, object_mask, motion), valid, motion)


def _deformed(flow: np.ndarray, valid: np.ndarray, mask: np.ndarray | None, motion: MotionSample) -> np.ndarray:
    """Return rigid flow with the motion's deformation and blur, 0 where not valid; may write into `flow`."""
    from flowsim.kernels.deformation import blurred

    height, width = valid.shape
    side = max(height, width)
    if motion.is_deformed:
        labels = None if mask is None else mask.view(np.uint8)
        add_deformation(flow, labels, [motion], pixel_axes(height, width), side)
    if motion.blur > 0:
        flow = blurred(flow.reshape(height, -1), gaussian_weights(motion.blur * side)).reshape(flow.shape)
    if (motion.is_deformed or motion.blur > 0) and not valid.all():
        flow[~valid] = 0
    return flow
