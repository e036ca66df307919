"""RAFT's correlation pyramid (Teed & Deng, ECCV 2020, section 3.2), in bounded memory and with a fast lookup."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

LEVELS = 4
LARGEST_VOLUME_BYTES = 3 << 29
"""Correlations of a pair beyond 1.5 GiB (frames of more than about 1050 x 950 px) are computed at every lookup."""


def volume_bytes(height: int, width: int) -> int:
    """Return the size of all correlations of one pair of `height` x `width` px, at most `LARGEST_VOLUME_BYTES`."""
    positions = (height // 8) * (width // 8)
    return min(positions * positions * 4 * 4 // 3, LARGEST_VOLUME_BYTES)


class Correlation:
    """Correlations of every position of one frame with every position of a second frame, at four resolutions of it.

    The paper averages the correlations of 2 x 2 positions. Since correlations are linear, averaging the features of the
    second frame gives the same numbers for a quarter of the work.
    """

    def __init__(self, first: Float[Tensor, "b c h w"], second: Float[Tensor, "b c h w"], radius: int) -> None:
        batch, channels, height, width = first.shape
        self.radius = radius
        self._first = first.float().permute(0, 2, 3, 1).reshape(batch, height * width, channels) / math.sqrt(channels)
        levels = [second.float().contiguous()]
        for _ in range(LEVELS - 1):
            levels.append(F.avg_pool2d(levels[-1], 2))
        self._levels = levels
        positions = height * width
        bytes_per_position = sum(level.shape[2] * level.shape[3] for level in levels) * 4
        self._block = min(positions, max(1, LARGEST_VOLUME_BYTES // bytes_per_position))
        self._whole = self._volumes(slice(0, positions)) if self._block == positions else None

    def __call__(self, centres: Float[Tensor, "b 2 h w"]) -> Float[Tensor, "b c h w"]:
        """Return the correlations in windows of 2 radius + 1 positions around `centres` (x, y), zero outside the frame.

        Returns:
            (b, levels (2 radius + 1)^2, h, w) float32, channels last in memory.
        """
        batch, _, height, width = centres.shape
        points = centres.permute(0, 2, 3, 1).reshape(batch, height * width, 2)
        if self._whole is not None:
            windows = self._look_up(self._whole, points)
        else:
            blocks = (slice(k, k + self._block) for k in range(0, height * width, self._block))
            windows = torch.cat([self._look_up(self._volumes(block), points[:, block]) for block in blocks], dim=1)
        return windows.reshape(batch, height, width, -1).permute(0, 3, 1, 2)

    def _volumes(self, block: slice) -> list[Float[Tensor, "b p h w"]]:
        first = self._first[:, block]
        return [(first @ level.flatten(2)).reshape(*first.shape[:2], *level.shape[2:]) for level in self._levels]

    def _look_up(self, volumes: list[Tensor], points: Float[Tensor, "b p 2"]) -> Float[Tensor, "b p c"]:
        if points.device.type == "cpu":
            return _look_up_on_cpu(volumes, points, self.radius)
        return _look_up_by_sampling(volumes, points, self.radius)


def _look_up_by_sampling(volumes: list[Tensor], points: Float[Tensor, "b p 2"], radius: int) -> Float[Tensor, "b p c"]:
    batch, positions, _ = points.shape
    steps = torch.arange(-radius, radius + 1, device=points.device, dtype=points.dtype)
    offsets = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1)  # as published: x is the slower index
    windows = []
    for level, volume in enumerate(volumes):
        height, width = volume.shape[2:]
        around = points.reshape(-1, 1, 1, 2) / 2**level + offsets
        size = torch.tensor([width - 1, height - 1], device=points.device, dtype=points.dtype)
        sampled = F.grid_sample(
            volume.reshape(batch * positions, 1, height, width), 2 * around / size - 1, align_corners=True
        )
        windows.append(sampled.reshape(batch, positions, -1))
    return torch.cat(windows, dim=2)


def _look_up_on_cpu(volumes: list[Tensor], points: Float[Tensor, "b p 2"], radius: int) -> Float[Tensor, "b p c"]:
    batch, positions, _ = points.shape
    area = (2 * radius + 1) ** 2
    windows = torch.empty(batch, positions, len(volumes) * area)
    window_loop = _window_loop()
    for level, volume in enumerate(volumes):
        for index in range(batch):
            out = windows[index, :, level * area : (level + 1) * area].numpy()
            window_loop(volume[index].numpy(), points[index].numpy(), np.float32(0.5**level), radius, out)
    return windows


@functools.cache
def _window_loop() -> Callable[..., Any]:
    from flowsim.kernels.jit import compiled

    return compiled(_windows)


def _windows(volume: Any, points: Any, scale: Any, radius: int, out: Any) -> None:
    """Sample volume (p,h,w) bilinearly around `scale` * points (p,2) into out (p, side * side); zero outside."""
    positions, height, width = volume.shape
    side = 2 * radius + 1
    corners = np.empty((side + 1, side + 1), np.float32)
    for k in range(positions):
        x, y = points[k, 0] * scale, points[k, 1] * scale
        if not (-radius - 1 < x < width + radius and -radius - 1 < y < height + radius):  # also NaN
            out[k, :] = 0
            continue
        left, top = int(np.floor(x)), int(np.floor(y))
        right_share, lower_share = x - np.float32(left), y - np.float32(top)
        for row in range(side + 1):
            source_row = top - radius + row
            for column in range(side + 1):
                source_column = left - radius + column
                is_inside = 0 <= source_row < height and 0 <= source_column < width
                corners[row, column] = volume[k, source_row, source_column] if is_inside else np.float32(0)
        for i in range(side):
            for j in range(side):
                upper = corners[j, i] + right_share * (corners[j, i + 1] - corners[j, i])
                lower = corners[j + 1, i] + right_share * (corners[j + 1, i + 1] - corners[j + 1, i])
                out[k, i * side + j] = upper + lower_share * (lower - upper)
