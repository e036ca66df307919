"""The rival of the training step does the same work as ours."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from torch.nn import functional as F

from benchmarks.network_speed import compare_results, draw_batch
from segmentation.data.transforms import Batch, finish_batch
from segmentation.network.model import TwoStreamNetwork


def both_steps() -> dict[str, float]:
    network = TwoStreamNetwork("mit-b0", initialization="random", side_px=64)
    prepared = draw_batch(4, 64)
    floats = Batch(*(part.contiguous() for part in finish_batch(prepared, "cpu")))
    return compare_results(network, prepared, floats, "cpu")


def test_both_steps_give_the_same_loss_and_gradients() -> None:
    assert both_steps()["relative_difference_of_gradients"] < 1e-4


def test_a_rival_that_computes_something_else_is_refused() -> None:
    with (
        patch("benchmarks.network_speed.resize_bicubic", lambda x, size: F.interpolate(x, size, mode="bilinear")),
        pytest.raises(SystemExit, match="do not do the same work"),
    ):
        both_steps()
