"""Deformation and blur on tensors, by the definitions of `flowsim.deformation`."""

import torch
from jaxtyping import Bool, Float32
from torch import Tensor
from torch.nn import functional

from flowsim.camera import pixel_axes
from flowsim.deformation import gaussian_weights, waves
from flowsim.sampling import MotionSample


def deform(flow: Float32[Tensor, "h w 2"], mask: Bool[Tensor, "h w"] | None, motion: MotionSample) -> Tensor:
    """Return a flow field with the motion's deformation and blur.

    Args:
        flow: flow of the rigid motion, px.
        mask: the object; None if it does not move on its own.
        motion: the resolved motion.

    Returns:
        (h,w,2) float32 px.
    """
    height, width = flow.shape[:2]
    side = max(height, width)
    if motion.is_deformed:
        factors = waves(motion.wave_seed, *pixel_axes(height, width), side)
        columns, rows = (torch.from_numpy(part).to(flow.device) for part in factors)
        gain = flow.new_full((height, width), motion.background_deformation * side)
        if mask is not None:
            gain[mask] = motion.object_deformation * side
        flow = flow + gain[..., None] * (rows @ columns).permute(1, 2, 0)
    if motion.blur > 0:
        half = torch.from_numpy(gaussian_weights(motion.blur * side)).to(flow.device)
        kernel = torch.cat([half.flip(0), half[1:]])
        planes = flow.permute(2, 0, 1)[:, None]
        radius = len(half) - 1
        planes = functional.conv2d(_repeated(planes, radius, 2), kernel[None, None, :, None])
        planes = functional.conv2d(_repeated(planes, radius, 3), kernel[None, None, None, :])
        flow = planes[:, 0].permute(1, 2, 0)
    return flow


def _repeated(planes: Tensor, radius: int, axis: int) -> Tensor:
    """Repeat the border pixels of planes outwards along one axis."""
    size = planes.shape[axis]
    return planes.index_select(axis, torch.arange(-radius, size + radius, device=planes.device).clamp(0, size - 1))
