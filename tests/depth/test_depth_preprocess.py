"""Preparation of photos and restoration of maps: published shapes, equal numbers on the host and on a device."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from depth.preprocess import (
    LONGEST_ASPECT,
    network_shape,
    prepare_on_device,
    prepare_on_host,
    restore_on_device,
    restore_on_host,
)
from depth.weights import DEPTH_ANYTHING_INPUT, DPT_INPUT, TINY_INPUT, InputRule

CPU = torch.device("cpu")
IDENTITY = InputRule(mean=(0.0, 0.0, 0.0), std=(1 / 255, 1 / 255, 1 / 255))


def blank(height: int, width: int) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


def cubic_matrix(source: int, target: int) -> np.ndarray:
    """Return the (target, source) weights of Keys' cubic, a = -0.75: centres at half integers, border repeated."""

    def weight(distance: float) -> float:
        a, x = -0.75, abs(distance)
        if x <= 1:
            return (a + 2) * x**3 - (a + 3) * x**2 + 1
        return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0

    matrix = np.zeros((target, source))
    for row in range(target):
        centre = (row + 0.5) * source / target - 0.5
        for column in range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3):
            matrix[row, min(max(column, 0), source - 1)] += weight(centre - column)
    return matrix


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ((384, 384), (384, 384)),
        ((1080, 1920), (384, 672)),  # large: the shorter side becomes 384
        ((300, 400), (288, 384)),  # both sides near 384: 400 -> 384 is the smaller change
        ((400, 267), (384, 256)),
        ((480, 854), (384, 672)),
        ((100, 150), (256, 384)),  # small: the longer side becomes 384
        ((1, 1), (384, 384)),
        ((8000, 6000), (512, 384)),
    ],
)
def test_dpt_shape_is_that_of_run_monodepth(size: tuple[int, int], shape: tuple[int, int]) -> None:
    assert network_shape(blank(*size), DPT_INPUT) == shape


def test_depth_anything_shape_is_a_lower_bound() -> None:
    assert network_shape(blank(300, 400), DEPTH_ANYTHING_INPUT) == (518, 686)
    assert network_shape(blank(1920, 1080), DEPTH_ANYTHING_INPUT) == (924, 518)


def test_square_ignores_the_aspect() -> None:
    assert network_shape(blank(10, 500), InputRule(fit="square")) == (384, 384)


@given(st.integers(1, 5000), st.integers(1, 5000), st.sampled_from([DPT_INPUT, DEPTH_ANYTHING_INPUT, TINY_INPUT]))
def test_shape_is_bounded_and_keeps_the_aspect(height: int, width: int, rule: InputRule) -> None:
    rows, columns = network_shape(np.broadcast_to(np.uint8(0), (height, width, 3)), rule)
    assert rows % rule.multiple == columns % rule.multiple == 0
    assert rule.multiple <= min(rows, columns) <= max(rows, columns) <= LONGEST_ASPECT * rule.side
    if max(height, width) <= 2 * min(height, width):  # else a side may have been limited
        exact = columns * height / width
        assert abs(rows - exact) <= rule.multiple / 2 * (1 + height / width)


@pytest.mark.parametrize("shape", [(24, 40), (7, 9)])
def test_cubic_is_keys_with_overshoot(photos: list[np.ndarray], shape: tuple[int, int]) -> None:
    photo = photos[0][:16, :20]
    rows, columns = cubic_matrix(16, shape[0]), cubic_matrix(20, shape[1])
    expected = np.einsum("yr,xc,rck->kyx", rows, columns, photo.astype(float))
    host = prepare_on_host(photo, shape, IDENTITY)[0].numpy()
    device = prepare_on_device([photo], shape, IDENTITY, CPU)[0].numpy()
    assert expected.min() < 0  # the cubic overshoots, and the network sees it
    np.testing.assert_allclose(host, expected, atol=2e-2)  # OpenCV rounds coefficients to float32
    np.testing.assert_allclose(device, expected, atol=2e-2)


@pytest.mark.parametrize("rule", [DPT_INPUT, TINY_INPUT, DEPTH_ANYTHING_INPUT])
def test_host_and_device_prepare_the_same(photos: list[np.ndarray], rule: InputRule) -> None:
    pair = [photos[0], photos[2]]
    pair[1].flags.writeable = False  # as numpy sees a Pillow image
    shape = network_shape(pair[0], rule)
    batch = prepare_on_device(pair, shape, rule, CPU)
    for one, photo in zip(batch, pair, strict=True):
        torch.testing.assert_close(one[None], prepare_on_host(photo, shape, rule), atol=2e-4, rtol=0)


def test_values_are_normalised_per_channel() -> None:
    photo = np.full((518, 518, 3), (255, 0, 51), np.uint8)
    pixels = prepare_on_host(photo, (518, 518), DEPTH_ANYTHING_INPUT)[0, :, 0, 0]
    np.testing.assert_allclose(pixels, [(1 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225], rtol=1e-5)


def test_map_is_resized_back_cubically_and_spans_0_to_1() -> None:
    source = np.random.default_rng(0).random((6, 8), np.float32) * 500 + 1000
    full = cubic_matrix(6, 15) @ source @ cubic_matrix(8, 31).T
    expected = (full - full.min()) / (full.max() - full.min())
    restored = restore_on_host(torch.from_numpy(source), (15, 31), "minmax")
    np.testing.assert_allclose(restored, expected, atol=1e-4)
    assert (restored.min(), restored.max()) == (0, 1)


@pytest.mark.parametrize("normalization", ["minmax", "percentile"])
def test_host_and_device_restore_the_same(normalization: str) -> None:
    source = torch.rand(12, 16, generator=torch.Generator().manual_seed(0)) * 9
    for size in ((31, 17), (8, 30), (1, 1)):
        host = restore_on_host(source, size, normalization)
        device = restore_on_device(source, size, normalization)
        np.testing.assert_allclose(device, host, atol=1e-4)


def test_percentile_resists_an_outlier() -> None:
    source = torch.linspace(0, 1, 600).reshape(20, 30).clone()
    source[10, 10] = 1000
    assert restore_on_host(source, (20, 30), "minmax")[0, 29] < 1e-3
    assert restore_on_host(source, (20, 30), "percentile")[19, 0] == pytest.approx(1, abs=0.05)


def test_percentile_clips_two_percent_on_either_side() -> None:
    source = torch.arange(101.0).reshape(1, 101)
    expected = np.clip((np.arange(101.0) - 2) / 96, 0, 1)
    for restored in (
        restore_on_host(source, (1, 101), "percentile"),
        restore_on_device(source, (1, 101), "percentile").numpy(),
    ):
        np.testing.assert_allclose(restored[0], expected, atol=1e-5)


def test_what_is_only_rounding_is_constant() -> None:
    source = torch.full((6, 8), 1000.0)
    source[2, 3] += 1e-3
    np.testing.assert_array_equal(restore_on_host(source, (6, 8), "minmax"), 0)
    np.testing.assert_array_equal(restore_on_device(source, (6, 8), "minmax"), 0)


@pytest.mark.parametrize("value", [0.0, 1234.5, -3.0])
def test_constant_output_is_zero_parallax(value: float) -> None:
    source = torch.full((6, 8), value)
    np.testing.assert_array_equal(restore_on_host(source, (15, 31), "minmax"), 0)
    np.testing.assert_array_equal(restore_on_device(source, (15, 31), "minmax"), 0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite_output_is_nan_everywhere(value: float) -> None:
    source = torch.rand(6, 8)
    source[2, 3] = value
    for restored in (restore_on_host(source, (15, 31), "minmax"), restore_on_device(source, (15, 31), "minmax")):
        assert restored.shape == (15, 31)
        assert np.isnan(np.asarray(restored)).all()
