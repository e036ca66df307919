"""Conversion of photos to network input, and of network output to maps in [0, 1] of the photo's size.

Each step exists twice with the same result: in OpenCV for the host, where it is an order of magnitude faster than
torch, and in torch for a device. Both interpolate cubically with a = -0.75, pixel centres at half integers and repeated
border pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor
from torch.nn import functional as F

from depth.weights import InputRule

PERCENTILES = (2.0, 98.0)
"""Percentiles of the network's output that `percentile` maps to 0 and 1; values beyond them are clipped."""
CONSTANT_TOLERANCE = 1e-5
"""A map counts as constant if its range is below this fraction of its largest magnitude, as rounding causes."""
LONGEST_ASPECT = 4
"""Largest longer side of the network's input in units of `InputRule.side`, so that memory suffices for panoramas."""

Photo = UInt8[np.ndarray, "_h _w 3"]
Map = Float32[np.ndarray, "_h _w"]
Shape = tuple[int, ...]
"""(rows, columns)."""


def network_shape(photo: Photo, rule: InputRule) -> Shape:
    """Return the rows and columns at which a photo enters the network.

    `minimal`, the rule of isl-org/DPT, scales both sides by side / height or side / width, whichever is nearer to 1.
    """
    if rule.fit == "square":
        return rule.side, rule.side
    height, width = map(int, photo.shape[:2])
    factors = (rule.side / height, rule.side / width)
    factor = min(factors, key=lambda f: abs(1 - f)) if rule.fit == "minimal" else max(factors)
    longest = LONGEST_ASPECT * rule.side // rule.multiple

    def fit(length: int) -> int:
        return min(max(1, round(length * factor / rule.multiple)), longest) * rule.multiple

    return fit(height), fit(width)


def prepare_on_host(photo: Photo, shape: Shape, rule: InputRule) -> Float32[Tensor, "1 3 rows columns"]:
    """Resize and normalise one photo.

    Args:
        photo: (h, w, 3) uint8 RGB.
        shape: rows and columns, from `network_shape`.
        rule: interpolation, mean and deviation.

    Returns:
        (1, 3, rows, columns) float32 in channels-last layout.
    """
    std = np.asarray(rule.std, np.float32)
    rows = _resize_photo(photo, shape, rule).reshape(
        shape[0], -1
    )  # flat rows, because numpy is slow along an axis of length 3
    # (x / 255 - mean) / std
    pixels = np.multiply(rows, np.tile(1 / (255 * std), shape[1]), dtype=np.float32)
    pixels -= np.tile(np.asarray(rule.mean, np.float32) / std, shape[1])
    return torch.from_numpy(pixels.reshape(*shape, 3))[None].permute(0, 3, 1, 2)


def _resize_photo(photo: Photo, shape: Shape, rule: InputRule) -> np.ndarray:
    if photo.shape[:2] == shape:
        return photo
    if rule.interpolation == "area":
        return np.asarray(cv2.resize(photo, shape[::-1], interpolation=cv2.INTER_AREA))
    # In float, the overshoot of the cubic reaches the network, as in the published code.
    return np.asarray(cv2.resize(photo.astype(np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC))


def prepare_on_device(
    photos: Sequence[Photo], shape: Shape, rule: InputRule, device: torch.device
) -> Float32[Tensor, "b 3 rows columns"]:
    """Resize and normalise a batch on `device` with the result of `prepare_on_host`; copies from pinned memory overlap.

    Only area interpolation takes place on the host, because torch lacks it, and the resized photo is smaller.
    """
    planes = []
    for photo in photos:
        source = _resize_photo(photo, shape, rule) if rule.interpolation == "area" else photo
        pixels = torch.from_numpy(np.require(source, requirements=["C", "W"]))
        if device.type == "cuda":
            pixels = pixels.pin_memory()
        plane = pixels.to(device, non_blocking=True).permute(2, 0, 1)[None].float()
        if plane.shape[-2:] != shape:
            plane = F.interpolate(plane, shape, mode="bicubic", align_corners=False)
        planes.append(plane)
    batch = torch.cat(planes).contiguous(memory_format=torch.channels_last)
    for channel, (mean, std) in enumerate(zip(rule.mean, rule.std, strict=True)):
        batch[:, channel].mul_(1 / (255 * std)).sub_(mean / std)
    return batch


def restore_on_host(inverse: Float[Tensor, "rows columns"], size: Shape, normalization: str) -> Map:
    """Resize one network output to the photo's size and normalise it to [0, 1].

    Args:
        inverse: (rows, columns) inverse depth of any scale and shift, on the host.
        size: height and width of the photo.
        normalization: `minmax` of the resized map, or `percentile` of the network's output.

    Returns:
        (height, width) float32, 1 = nearest; zeros if the output is constant, NaN if it is not finite.
    """
    source = inverse.float().numpy()
    if not np.isfinite(source).all():
        return np.full(size, np.nan, np.float32)
    full: Map = cv2.resize(source, size[::-1], interpolation=cv2.INTER_CUBIC)
    low, high = np.percentile(source, PERCENTILES) if normalization == "percentile" else (full.min(), full.max())
    if high - low <= CONSTANT_TOLERANCE * max(abs(low), abs(high)):
        return np.zeros(size, np.float32)
    full -= np.float32(low)
    full /= np.float32(high) - np.float32(low)
    np.clip(full, 0, 1, out=full)
    return full


def restore_on_device(
    inverse: Float[Tensor, "rows columns"], size: Shape, normalization: str
) -> Float32[Tensor, "h w"]:
    """Resize and normalise one output on its device with the result of `restore_on_host`, without waiting for it."""
    source = inverse.float()
    full = F.interpolate(source[None, None], size, mode="bicubic", align_corners=False)[0, 0]
    if normalization == "percentile":
        low, high = (torch.quantile(source, percentile / 100) for percentile in PERCENTILES)
    else:
        low, high = full.amin(), full.amax()
    is_constant = high - low <= CONSTANT_TOLERANCE * torch.maximum(low.abs(), high.abs())
    scaled = ((full - low) / torch.where(is_constant, 1.0, high - low)).clamp(0, 1)
    scaled = torch.where(is_constant, 0.0, scaled)
    return torch.where(source.isfinite().all(), scaled, torch.nan)
