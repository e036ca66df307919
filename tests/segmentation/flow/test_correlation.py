"""Correlations of two frames against plain sampling of averaged correlations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from segmentation.flow import correlation
from tests.conftest import SHARED

REAL_SMALL = SHARED / "weights/raft-small.pth"


def test_lookup_is_bilinear_sampling_of_averaged_correlations() -> None:
    rng = torch.Generator().manual_seed(0)
    first, second = (torch.randn(1, 8, 17, 21, generator=rng) for _ in range(2))
    centres = torch.rand(1, 2, 17, 21, generator=rng) * 40 - 10
    centres[0, :, 0, 0] = 1e9
    windows = correlation.Correlation(first, second, 3)(centres)
    volume = torch.einsum("bchw,bcyx->bhwyx", first, second) / 8**0.5
    expected = []
    for level in range(correlation.LEVELS):
        corner = centres.permute(0, 2, 3, 1).reshape(-1, 2) / 2**level
        pooled = volume.reshape(17 * 21, 1, 17, 21)
        for _ in range(level):
            pooled = torch.nn.functional.avg_pool2d(pooled, 2)
        for dx in range(-3, 4):
            for dy in range(-3, 4):
                expected.append(_bilinear(pooled[:, 0], corner[:, 0] + dx, corner[:, 1] + dy))
    torch.testing.assert_close(windows[0].reshape(-1, 17 * 21), torch.stack(expected), atol=1e-4, rtol=1e-4)


def test_correlations_that_do_not_fit_in_memory_are_computed_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = torch.Generator().manual_seed(1)
    first, second = (torch.randn(2, 8, 16, 18, generator=rng) for _ in range(2))
    centres = torch.rand(2, 2, 16, 18, generator=rng) * 16
    whole = correlation.Correlation(first, second, 4)(centres)
    monkeypatch.setattr(correlation, "LARGEST_VOLUME_BYTES", 50_000)
    in_blocks = correlation.Correlation(first, second, 4)(centres)
    torch.testing.assert_close(in_blocks, whole, atol=1e-5, rtol=1e-5)
    sampled = correlation._look_up_by_sampling(
        correlation.Correlation(first, second, 4)._volumes(slice(0, 16 * 18)),
        centres.permute(0, 2, 3, 1).reshape(2, -1, 2),
        4,
    )
    torch.testing.assert_close(sampled.reshape(2, 16, 18, -1).permute(0, 3, 1, 2), whole, atol=1e-4, rtol=1e-4)


def _bilinear(maps: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Sample maps (n, h, w), each at its own x and y; zero outside."""
    height, width = maps.shape[1:]
    total = np.zeros(len(maps), np.float32)
    for k, (values, column_at, row_at) in enumerate(zip(maps.numpy(), x.tolist(), y.tolist(), strict=True)):
        left, top = math.floor(column_at), math.floor(row_at)
        for row, column in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
            if 0 <= row < height and 0 <= column < width:
                total[k] += values[row, column] * (1 - abs(column_at - column)) * (1 - abs(row_at - row))
    return torch.from_numpy(total)
