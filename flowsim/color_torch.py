"""The colour wheel as a tensor expression, for devices other than the CPU and for compiled graphs."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from flowsim.color_wheel import UNKNOWN_FLOW_PX, color_wheel

_WHEEL = torch.from_numpy(color_wheel())


def rgb_of_tensor(flow: Float[Tensor, "*b h w 2"], max_radius: int | float | None) -> UInt8[Tensor, "*b h w 3"]:
    """Colour flow fields; see `flowsim.color.flow_to_rgb`.

    Args:
        flow: (...,h,w,2) px.
        max_radius: length in px of full saturation; None: each field's own.

    Returns:
        (...,h,w,3) uint8.
    """
    u, v = flow.float().unbind(-1)
    known = (u.abs() <= UNKNOWN_FLOW_PX) & (v.abs() <= UNKNOWN_FLOW_PX)
    u, v = torch.where(known, u, 0.0), torch.where(known, v, 0.0)
    radius = torch.sqrt(u * u + v * v)
    if max_radius is None:
        longest = radius.amax((-2, -1), keepdim=True)
        radius = radius * (1 / torch.where(longest > 0, longest, 1.0))
    else:
        radius = radius * (1 / max_radius)
    # (atan2(-v, -u) / pi + 1) / 2 * (55 - 1)
    position = (27 + (27 / torch.pi) * torch.atan2(-v, -u)).clamp(0, 54)
    k = position.long()
    part = (position - k).unsqueeze(-1)
    wheel = _WHEEL.to(flow.device)
    low, high = wheel[k], wheel[(k + 1) % len(wheel)]
    color = low + part * (high - low)
    r = radius.unsqueeze(-1)
    color = torch.where(r <= 1, 255 - r * (255 - color), 0.75 * color)
    return torch.where(known.unsqueeze(-1), color, 0.0).to(torch.uint8)
