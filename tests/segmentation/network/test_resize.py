"""Resizing features by matrices gives what torch's bicubic interpolation gives, forwards and backwards."""

from __future__ import annotations

import pytest
import torch

from segmentation.network.resize import resize_bicubic, resize_features


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("source", "target"), [((4, 6), (8, 12)), ((5, 3), (9, 7)), ((8, 8), (3, 20)), ((1, 1), (4, 2))]
)
def test_features_are_resized_as_torch_does(
    layout: torch.memory_format, source: tuple[int, int], target: tuple[int, int]
) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 5, *source, generator=generator).to(memory_format=layout).requires_grad_()
    gradient = torch.randn(2, 5, *target, generator=generator)
    found = [resize(features, target) for resize in (resize_features, resize_bicubic)]
    torch.testing.assert_close(*found)
    torch.testing.assert_close(*(torch.autograd.grad(one, features, gradient)[0] for one in found))


def test_features_keep_their_order_in_memory() -> None:
    features = torch.zeros(2, 5, 4, 6).to(memory_format=torch.channels_last)
    assert resize_features(features, (8, 12)).is_contiguous(memory_format=torch.channels_last)
    assert resize_features(features.contiguous(), (8, 12)).is_contiguous()


def test_features_seen_in_inference_first_can_be_trained_on() -> None:
    with torch.inference_mode():
        resize_features(torch.zeros(1, 1, 7, 7), (11, 11))
    features = torch.zeros(1, 1, 7, 7, requires_grad=True)
    resize_features(features, (11, 11)).sum().backward()
    assert features.grad is not None
