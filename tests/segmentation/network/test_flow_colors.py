"""Flow as networks see it: motion at full saturation, and a scene that stands still nearly white."""

from __future__ import annotations

import numpy as np
import torch

from flowsim import flow_to_rgb
from segmentation.data.photo_samples import Triplet
from segmentation.data.transforms import make_batch
from segmentation.network.flow_colors import flow_colors


def noise(longest_px: float) -> np.ndarray:
    """Return flow in random directions, of which the longest vector has this length."""
    flow = np.random.default_rng(0).normal(size=(12, 16, 2)).astype(np.float32)
    return flow * np.float32(longest_px / np.hypot(flow[..., 0], flow[..., 1]).max())


def test_errors_of_the_estimate_of_a_still_scene_stay_pale() -> None:
    assert flow_colors(noise(0.2)).min() >= 0.8 * 255 - 1
    assert flow_to_rgb(noise(0.2)).min() < 10  # as published, they would look like motion


def test_motion_has_full_saturation_and_the_colours_published() -> None:
    for longest_px in (1.01, 30):
        assert np.array_equal(flow_colors(noise(longest_px)), flow_to_rgb(noise(longest_px)))


def test_colours_pass_smoothly_from_rest_to_motion() -> None:
    below, above = (flow_colors(noise(length)).astype(int) for length in (0.99, 1.01))
    assert np.abs(below - above).max() <= 4


def test_training_sees_a_still_scene_as_prediction_does() -> None:
    flow = torch.from_numpy(noise(0.2))
    image = torch.zeros(12, 16, 3, dtype=torch.uint8)
    sample = Triplet("still", image, flow, image[..., 0])
    assert torch.equal(sample.colors(), flow_colors(flow))
    assert make_batch([sample], side_px=32).flow_rgb.min() >= 0.75  # bicubic interpolation may overshoot
