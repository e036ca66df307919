"""Photo to network input, and network output back to the photo's size and to [0, 1].

Each step exists twice with the same result: by OpenCV on the host, which is an order of magnitude faster there than
torch, and by torch on a device. Both interpolate cubically with a = -0.75, pixel centres at half integers and the border
repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor
from torch.nn import functional as F

from depth.weights import InputRule

Normalization = Literal["minmax", "percentile"]
PERCENTILES = (2.0, 98.0)
"""Of the network's own map, set to 0 and 1 by `percentile`; what lies beyond is clipped."""
CONSTANT_TOLERANCE = 1e-5
"""A map whose range is below this fraction of its largest magnitude is constant: the rest is rounding."""
LONGEST_ASPECT = 4
"""The network's longer side is at most this multiple of `InputRule.side`: a strip of a photo must not fill the memory."""

Photo = UInt8[np.ndarray, "h w 3"]
Map = Float32[np.ndarray, "h w"]


def network_shape(height: int, width: int, rule: InputRule) -> tuple[int, int]:
    """Return the height and width at which a photo enters the network.

    isl-org/DPT's `minimal` takes, of side / height and side / width, the factor nearer to 1 for both sides.
    """
    if rule.fit == "square":
        return rule.side, rule.side
    factors = (rule.side / height, rule.side / width)
    factor = min(factors, key=lambda f: abs(1 - f)) if rule.fit == "minimal" else max(factors)
    longest = LONGEST_ASPECT * rule.side // rule.multiple

    def fit(length: int) -> int:
        return min(max(1, round(length * factor / rule.multiple)), longest) * rule.multiple

    return fit(height), fit(width)


def prepare_on_host(photos: Sequence[Photo], shape: tuple[int, int], rule: InputRule) -> Float32[Tensor, "b 3 rows columns"]:
    """Resize photos to one shape and normalise them.

    Args:
        photos: each (h, w, 3) uint8 RGB.
        shape: height and width from `network_shape`.
        rule: interpolation, mean and deviation.

    Returns:
        (b, 3, rows, columns) float32 in channels-last layout.
    """
    batch = np.empty((len(photos), *shape, 3), np.float32)
    scale = np.float32(1 / 255) / np.asarray(rule.std, np.float32)
    offset = np.asarray(rule.mean, np.float32) / np.asarray(rule.std, np.float32)
    for pixels, photo in zip(batch, photos, strict=True):
        np.multiply(_resize_photo(photo, shape, rule), scale, out=pixels)
    batch -= offset
    return torch.from_numpy(batch).permute(0, 3, 1, 2)


def _resize_photo(photo: np.ndarray, shape: tuple[int, int], rule: InputRule) -> np.ndarray:
    # Cubic overshoots: in float the overshoot reaches the network, as published. An area mean needs no float.
    if photo.shape[:2] == shape:
        return photo
    size = (shape[1], shape[0])
    if rule.interpolation == "area":
        return cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    return cv2.resize(photo.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)


def prepare_on_device(
    photos: Sequence[Photo], shape: tuple[int, int], rule: InputRule, device: torch.device
) -> Float32[Tensor, "b 3 rows columns"]:
    """Do as `prepare_on_host` does, on `device`: bytes travel there from pinned memory without waiting.

    Only the area mean is still taken on the host: torch has no counterpart, and the resized photo is the smaller one.
    """
    resized = []
    for photo in photos:
        source = _resize_photo(photo, shape, rule) if rule.interpolation == "area" else photo
        pixels = torch.from_numpy(np.ascontiguousarray(source))
        if device.type == "cuda":
            pixels = pixels.pin_memory()
        planes = pixels.to(device, non_blocking=True).permute(2, 0, 1)[None].float()
        if planes.shape[-2:] != shape:
            planes = F.interpolate(planes, shape, mode="bicubic", align_corners=False)
        resized.append(planes)
    batch = torch.cat(resized).contiguous(memory_format=torch.channels_last)
    mean = torch.tensor(rule.mean, device=device).view(1, 3, 1, 1)
    std = torch.tensor(rule.std, device=device).view(1, 3, 1, 1)
    return (batch / 255 - mean) / std


def restore_on_host(inverse: Float[Tensor, "rows columns"], height: int, width: int, normalization: str) -> Map:
    """Bring one network output to the photo's size and to [0, 1].

    Args:
        inverse: (rows, columns) inverse depth of any scale and shift, on the host.
        height: of the photo.
        width: of the photo.
        normalization: `minmax` of the resized map or `percentile` of the network's own.

    Returns:
        (height, width) float32: 1 = nearest; zeros where the output is constant, NaN where it is not finite.
    """
    source = inverse.float().numpy()
    full = cv2.resize(source, (width, height), interpolation=cv2.INTER_CUBIC)
    if normalization == "percentile":
        low, high = (float(x) for x in np.percentile(source, PERCENTILES))
    else:
        low, high = float(full.min()), float(full.max())
    if not np.isfinite(source).all():
        return np.full((height, width), np.nan, np.float32)
    if high - low <= CONSTANT_TOLERANCE * max(abs(low), abs(high)):
        return np.zeros((height, width), np.float32)
    np.subtract(full, np.float32(low), out=full)
    np.divide(full, np.float32(high) - np.float32(low), out=full)
    return np.clip(full, 0, 1, out=full)


def restore_on_device(
    inverse: Float[Tensor, "rows columns"], height: int, width: int, normalization: str
) -> Float32[Tensor, "h w"]:
    """Do as `restore_on_host` does, where `inverse` is, without waiting for the device."""
    source = inverse.float()
    full = F.interpolate(source[None, None], (height, width), mode="bicubic", align_corners=False)[0, 0]
    if normalization == "percentile":
        fractions = torch.tensor(PERCENTILES, device=source.device) / 100
        low, high = torch.quantile(source.flatten(), fractions).unbind()
    else:
        low, high = full.amin(), full.amax()
    span = high - low
    is_constant = span <= CONSTANT_TOLERANCE * torch.maximum(low.abs(), high.abs())
    scaled = ((full - low) / torch.where(is_constant, 1.0, span)).clamp(0, 1)
    scaled = torch.where(is_constant, 0.0, scaled)
    return torch.where(source.isfinite().all(), scaled, torch.nan)
