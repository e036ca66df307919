"""The flow of a batch of photos as tensor operations on any device, by the definitions of `flowsim.simulation`."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from flowsim.camera import pixel_axes
from flowsim.deformation_torch import deform
from flowsim.errors import FlowsimError
from flowsim.fields import FlowField
from flowsim.kernels.flow import SMALLEST_DEPTH_RATIO, plane_and_parallax
from flowsim.sampling import MotionSample


def simulate_flow_batch(
    normalized_inverse_depth: Tensor, motions: Sequence[MotionSample], masks: Tensor | None = None
) -> FlowField:
    """Make the flow of a batch of photos of one size under resolved motions.

    `simulate_flow` gives the same flow for a single photo on the CPU, up to rounding.

    Args:
        normalized_inverse_depth: (b,h,w) float32 in [0,1], 1 = nearest, on any device.
        motions: one resolved motion for each photo, as `simulate_flow` returns it.
        masks: (b,h,w) bool on the same device, the objects; may be None if no motion moves an object on its own.

    Returns:
        Flow (b,h,w,2) float32 px and valid (b,h,w) bool, on the same device.

    Raises:
        FlowsimError: wrong shapes, types or devices, depths not in [0,1], an unresolved motion, or a missing mask.
    """
    depth = normalized_inverse_depth
    _check_batch(depth, motions, masks)
    height, width = depth.shape[1:]
    needs_masks = any(motion.moves_object for motion in motions)
    labels = masks.view(torch.uint8) if masks is not None and needs_masks else None
    matrices = np.stack([motion.matrices(height, width) for motion in motions]).astype(np.float32)
    flow, valid = flow_of_matrices(depth, torch.from_numpy(matrices).to(depth.device), labels)
    for image, motion in enumerate(motions):
        if motion.is_deformed or motion.blur > 0:
            mask = masks[image] if masks is not None and motion.moves_object else None
            flow[image] = torch.where(valid[image][..., None], deform(flow[image], mask, motion), 0)
    return FlowField(flow, valid)


def flow_of_matrices(
    inverse_depth: Float32[Tensor, "b h w"],
    matrices: Float32[Tensor, "b parts 12"],
    labels: UInt8[Tensor, "b h w"] | None,
) -> FlowField:
    """Make rigid flow by plane + parallax, in operations that `torch.compile` can join into one kernel.

    Args:
        inverse_depth: inverse depth in [0,1], of the kind that the matrices take.
        matrices: [B | k] of the background and of each object (see `flowsim.projection`).
        labels: 0 = background, i = object i; None = background everywhere.

    Returns:
        Flow (b,h,w,2) px and valid (b,h,w).
    """
    columns, rows = (torch.from_numpy(axis).to(inverse_depth.device) for axis in pixel_axes(*inverse_depth.shape[1:]))
    background, *objects = matrices[..., None, None].unbind(1)
    u, v, change = plane_and_parallax(background.unbind(1), columns, rows[:, None], inverse_depth)
    if labels is not None:
        for number, matrix in enumerate(objects, start=1):
            is_here = labels == number
            moved = plane_and_parallax(matrix.unbind(1), columns, rows[:, None], inverse_depth)
            u, v, change = (torch.where(is_here, new, old) for new, old in zip(moved, (u, v, change), strict=True))
    ratio = 1 + change
    valid = ratio > SMALLEST_DEPTH_RATIO
    scale = torch.where(valid, 1 / ratio, 0.0)
    return FlowField(torch.stack([u * scale, v * scale], -1), valid)


def _check_batch(depth: Tensor, motions: Sequence[MotionSample], masks: Tensor | None) -> None:
    """Raise FlowsimError unless depths, motions and masks belong together."""
    if depth.ndim != 3 or 0 in depth.shape or depth.dtype != torch.float32:
        raise FlowsimError(
            f"normalized_inverse_depth is {depth.dtype} of shape {tuple(depth.shape)}, expected float32 (b,h,w), "
            "not empty"
        )
    if len(motions) != len(depth):
        raise FlowsimError(f"{len(motions)} motions for {len(depth)} photos: give one each")
    if not all(motion.is_resolved for motion in motions):
        raise FlowsimError("a motion is unresolved (scale -1): use the motion that simulate_flow returns")
    if masks is None and any(motion.moves_object for motion in motions):
        raise FlowsimError("a motion moves the object on its own: give masks (b,h,w) bool")
    if masks is not None and (masks.dtype, masks.shape, masks.device) != (torch.bool, depth.shape, depth.device):
        raise FlowsimError(
            f"masks are {masks.dtype} of shape {tuple(masks.shape)} on {masks.device}, expected bool "
            f"{tuple(depth.shape)} on {depth.device}"
        )
    outside = int((~((depth >= 0) & (depth <= 1))).sum())
    if outside:
        raise FlowsimError(
            f"normalized_inverse_depth of shape {tuple(depth.shape)} has {outside} values that are not in [0, 1]; "
            "normalise it per photo, and replace NaN"
        )
