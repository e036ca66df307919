"""The fast convolution gives what the plain one gives, and so do its gradients."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from segmentation.network.model import TwoStreamNetwork
from segmentation.network.segmenter import Segmenter
from segmentation.network.winograd import SMALLEST_PX, SMALLEST_WIDTH, Conv3x3, use_winograd
from segmentation.network.winograd_kernels import TILES


def make_fast(inputs: int, outputs: int) -> Conv3x3:
    return Conv3x3(inputs, outputs, 3, padding=1)


def both(x: Tensor, outputs: int) -> list[list[Tensor]]:
    """Return output and gradients of input, kernel and bias: of the fast convolution, of the plain one in float64."""
    fast = make_fast(x.shape[1], outputs)
    plain = nn.Conv2d(x.shape[1], outputs, 3, padding=1).double()
    plain.load_state_dict(fast.state_dict())
    found = []
    for layer, given in ((fast, x), (plain, x.double())):
        given = given.detach().requires_grad_()
        y = layer(given)
        above = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
        y.backward(above.to(y.dtype))
        found.append([y.detach(), given.grad, layer.weight.grad, layer.bias.grad])
    return found


@pytest.mark.parametrize(
    "shape",
    [
        *((2, 64, 64), (2, 67, 70), (2, 66, 129), (2, 300, 17)),
        *((5, 32, 32), (20, 7, 9), (3, 21, 31), (9, 40, 6), (1, 8, 1027)),
    ],
)
def test_output_and_gradients_are_those_of_the_plain_convolution(shape: tuple[int, int, int]) -> None:
    samples, height, width = shape
    assert samples * height * width >= SMALLEST_PX
    torch.manual_seed(0)
    fast, plain = both(torch.randn(samples, 7, height, width), outputs=5)
    for one, other in zip(fast, plain, strict=True):
        scale = other.abs().max()
        torch.testing.assert_close(one.double() / scale, other / scale, rtol=0, atol=1e-5)


def test_memory_in_another_order_changes_nothing() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 64, 70, 6).permute(0, 3, 1, 2)
    layer = make_fast(6, 3)
    assert torch.equal(layer(x), layer(x.contiguous()))
    y = layer(x)
    (expanded,) = torch.autograd.grad(y.sum(), layer.weight, retain_graph=True)
    (whole,) = torch.autograd.grad(y, layer.weight, torch.ones(y.shape))
    assert torch.equal(expanded, whole)


@pytest.mark.parametrize("side", [64, 20])
def test_a_sample_does_not_depend_on_the_batch_around_it(side: int) -> None:
    torch.manual_seed(0)
    x, layer = torch.randn(3, 8, side, side), make_fast(8, 8)
    together = layer(x)
    other = layer(torch.cat([1e3 * torch.randn(2, 8, side, side), x[1:2]]))
    torch.testing.assert_close(other[2], together[1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2])
def test_threads_change_nothing(count: int) -> None:
    torch.manual_seed(0)
    x, layer, before = torch.randn(3, 20, 92, 92), make_fast(20, 20), torch.get_num_threads()
    assert 3 * TILES < 3 * (92 // 4) ** 2
    alone = layer(x)
    try:
        torch.set_num_threads(count)
        torch.testing.assert_close(layer(x), alone, rtol=0, atol=1e-6)
    finally:
        torch.set_num_threads(before)


def test_small_maps_and_other_precisions_are_torchs_own() -> None:
    torch.manual_seed(0)
    layer = make_fast(4, 4)
    plain = nn.Conv2d(4, 4, 3, padding=1)
    plain.load_state_dict(layer.state_dict())
    small, large = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 64, 64)
    assert torch.equal(layer(small), plain(small))
    assert not torch.equal(layer(large), plain(large))
    assert torch.equal(copy.deepcopy(layer).double()(large.double()), plain.double()(large.double()))


def test_wide_plain_convolutions_are_exchanged_and_no_others() -> None:
    width = SMALLEST_WIDTH
    network = nn.Sequential(
        nn.Conv2d(width, width, 3, padding=1),
        nn.Conv2d(width, width - 1, 3, padding=1),
        nn.Conv2d(width, width, 3, padding=1, stride=2),
        nn.Conv2d(width, width, 3),
        nn.Conv2d(width, width, 3, padding=1, groups=2),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.Conv2d(width, width, 1),
    )
    x = torch.randn(1, width, 33, 32)
    before, names = network[0](x), list(network.state_dict())
    use_winograd(network)
    assert [type(layer) is Conv3x3 for layer in network] == [True] + [False] * 6
    assert list(network.state_dict()) == names
    torch.testing.assert_close(network[0](x), before, rtol=0, atol=1e-4)


def test_prediction_on_a_cpu_exchanges_them() -> None:
    network = TwoStreamNetwork("mit-b0", initialization="random", side_px=64)
    Segmenter(network, "cpu")
    assert all(type(stage.blend) is Conv3x3 for stage in network.decoder.stages)
