"""Bicubic interpolation without anti-aliasing, as published, for pictures and for features with gradients."""

from __future__ import annotations

import functools

import torch
from jaxtyping import Float, Num
from torch import Tensor
from torch.nn import functional as F


def resize_bicubic(x: Num[Tensor, "b c _ _"], size: tuple[int, ...]) -> Num[Tensor, "b c rows columns"]:
    """Resize pictures to (rows, columns); float values may overshoot their range."""
    if x.shape[-2:] == size:
        return x
    return F.interpolate(x, size, mode="bicubic", align_corners=False)


def resize_features(x: Float[Tensor, "b c h w"], size: tuple[int, ...]) -> Float[Tensor, "b c rows columns"]:
    """Resize many small maps to (rows, columns): the same numbers to rounding, by two matrix products.

    Interpolation is linear in each axis. As matrices it is several times faster than torch's kernels, backwards above
    all, and its gradients on a GPU do not depend on the order of atomic additions.
    """
    if x.shape[-2:] == size:
        return x
    down, across = (_weights(n, m, x.device).to(x.dtype) for n, m in zip(x.shape[-2:], size, strict=True))
    with torch.autocast(x.device.type, enabled=False):
        if x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous():
            # Y = R X in memory (b,h,w c), then C Y in memory (b rows,w,c)
            batch, channels, height, width = x.shape
            rows = down @ x.permute(0, 2, 3, 1).reshape(batch, height, width * channels)
            both = across @ rows.reshape(batch * size[0], width, channels)
            return both.reshape(batch, *size, channels).permute(0, 3, 1, 2)
        # Y = R X C^T
        return down @ (x @ across.T)


@functools.cache
def _weights(source: int, target: int, device: torch.device) -> Float[Tensor, "target source"]:
    """Return the interpolation matrix of one axis."""
    with torch.inference_mode(False):
        unit = torch.eye(source)[None, None]
        return F.interpolate(unit, (target, source), mode="bicubic", align_corners=False)[0, 0].to(device)
