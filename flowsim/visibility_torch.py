"""The forward z-buffer as tensor operations, for devices other than the CPU."""

import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from flowsim.fields import Visibility


def visibility_of_tensors(
    flow: Float32[Tensor, "*b h w 2"], inverse_depth: Float32[Tensor, "*b h w"], valid: Bool[Tensor, "*b h w"] | None
) -> Visibility:
    """Find which pixels leave, are hidden or are uncovered; see `flowsim.visibility.find_visibility`.

    The result does not depend on the order of a device's threads, because only maxima are taken.
    """
    height, width = inverse_depth.shape[-2:]
    xs = torch.arange(width, device=flow.device, dtype=torch.float32)
    ys = torch.arange(height, device=flow.device, dtype=torch.float32)[:, None]
    column = torch.floor(xs + flow[..., 0] + 0.5)
    row = torch.floor(ys + flow[..., 1] + 0.5)
    stays = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    if valid is not None:
        stays = stays & valid
    # The last cell collects the pixels that leave.
    inside = torch.where(stays, row, 0.0).long() * width + torch.where(stays, column, 0.0).long()
    target = torch.where(stays, inside, height * width).flatten(-2)
    depth = inverse_depth.flatten(-2)
    nearest = torch.full((*depth.shape[:-1], height * width + 1), -1.0, device=flow.device)
    nearest = nearest.scatter_reduce(-1, target, depth, "amax")
    hidden = stays & (depth < nearest.gather(-1, target)).view_as(stays)
    return Visibility(~stays, hidden, (nearest[..., :-1] < 0).view_as(stays))
