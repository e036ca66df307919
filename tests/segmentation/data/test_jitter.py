"""Colour jitter: its factors, and the images that they give."""

from __future__ import annotations

import numpy as np
import torch

from segmentation.data.transforms import Augmentation, PreparedBatch, finish_batch, make_batch, prepare_batch
from tests.segmentation.data.random_triplets import make_generator, make_sample


def jitter_slowly(image: np.ndarray, brightness: float, contrast: float, saturation: float) -> np.ndarray:
    """Vary an image (h,w,3) in [0, 1] pixel by pixel, in the order and with the greys of torchvision's transforms."""

    def grey(pixels: np.ndarray) -> np.ndarray:
        return 0.299 * pixels[..., 0] + 0.587 * pixels[..., 1] + 0.114 * pixels[..., 2]

    image = np.clip(image * brightness, 0, 1)
    mean = grey(image).mean()
    image = np.clip(mean + contrast * (image - mean), 0, 1)
    own = grey(image)[..., None]
    varied: np.ndarray = np.clip(own + saturation * (image - own), 0, 1)
    return varied


def varied_colors(pixels: list[list[int]], brightness: float, contrast: float, saturation: float) -> np.ndarray:
    """Return what becomes of two pixels, in two equal rows; values from 0 to 255."""
    image = torch.tensor([[pixels, pixels]], dtype=torch.uint8)
    factors = torch.tensor([[brightness, contrast, saturation]], dtype=torch.float32)
    prepared = PreparedBatch(image, image, image[..., 0], factors, ("row",))
    return np.asarray(finish_batch(prepared, "cpu").image[0, :, 0].T * 255)


def test_jitter_scales_brightness_contrast_and_saturation() -> None:
    row = [[200, 40, 20], [0, 0, 100]]
    np.testing.assert_allclose(varied_colors(row, 0.5, 1, 1), [[100, 20, 10], [0, 0, 50]], atol=1e-3)
    np.testing.assert_allclose(varied_colors(row, 2, 1, 1), [[255, 80, 40], [0, 0, 200]], atol=1e-3)
    # Grey is 0.299 red + 0.587 green + 0.114 blue: 85.56 and 11.4, in the mean 48.48.
    np.testing.assert_allclose(varied_colors(row, 1, 0, 1), np.full((2, 3), 48.48), atol=1e-3)
    expected = [[124.24, 44.24, 34.24], [24.24, 24.24, 74.24]]
    np.testing.assert_allclose(varied_colors(row, 1, 0.5, 1), expected, atol=1e-3)
    np.testing.assert_allclose(varied_colors(row, 1, 1, 0), [[85.56] * 3, [11.4] * 3], atol=1e-3)
    # Brightened pixels are cut before their mean grey is taken: 127.765 and 22.8, in the mean 75.2825.
    expected = [[165.14125, 77.64125, 57.64125], [37.64125, 37.64125, 137.64125]]
    np.testing.assert_allclose(varied_colors(row, 2, 0.5, 1), expected, atol=1e-3)
    expected = [[255, 17.22, 0], [0, 0, 144.3]]  # grey + 1.5 (color - grey), cut to 0..255
    np.testing.assert_allclose(varied_colors(row, 1, 1, 1.5), expected, atol=1e-3)


def test_jitter_draws_factors_on_both_sides_of_one() -> None:
    options = Augmentation(flips="none", jitter=0.4)
    samples = [make_sample(8, 8)] * 200
    factors = prepare_batch(samples, augmentation=options, generator=make_generator(0), side_px=8).factors
    assert factors.shape == (200, 3)
    assert 0.6 <= factors.min() < 0.62
    assert 1.38 < factors.max() <= 1.4
    torch.testing.assert_close(factors.mean(0), torch.ones(3), rtol=0, atol=0.06)
    assert np.abs(np.corrcoef(factors.T.numpy()) - np.eye(3)).max() < 0.25  # each by itself


def test_jitter_changes_the_image_alone() -> None:
    samples = [make_sample(20, 20, seed) for seed in range(16)]
    plain = make_batch(samples, side_px=20)
    options = Augmentation(flips="none", jitter=0.4)
    prepared = prepare_batch(samples, augmentation=options, generator=make_generator(0), side_px=20)
    varied = finish_batch(prepared, "cpu")
    assert torch.equal(varied.flow_rgb, plain.flow_rgb)
    assert torch.equal(varied.mask, plain.mask)
    assert 0.6 <= prepared.factors.min() < 0.7
    assert 1.3 < prepared.factors.max() <= 1.4
    assert len(prepared.factors.unique()) == 48
    for before, after, factors in zip(plain.image, varied.image, prepared.factors.tolist(), strict=True):
        expected = jitter_slowly(before.movedim(0, -1).double().numpy(), *factors)
        np.testing.assert_allclose(after.movedim(0, -1), expected, rtol=0, atol=1e-5)
        assert np.abs(expected - before.movedim(0, -1).numpy()).max() > 0.01
