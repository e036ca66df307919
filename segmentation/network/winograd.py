"""3x3 convolutions with a quarter of the multiplications, for the CPU.

F(4x4, 3x3) of Lavin & Gray, Fast Algorithms for Convolutional Neural Networks (CVPR 2016, section 4): windows of 6x6
pixels and the kernel are transformed, multiplied element by element and summed over channels, and transformed back to
4x4 outputs. The result is that of the plain convolution to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

SMALLEST_WIDTH = 128
"""Smallest number of output channels; with fewer, torch's own convolution is faster."""
SMALLEST_PX = 32 * 32
"""Smallest number of pixels in a batch; with fewer, transforming the kernel costs more than it saves."""

_G = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
# Y = A^T [(G g G^T) * (B^T d B)] A, for the points 0, 1, -1, 2, -2, infinity; A and B stand in the kernels' loops.
# Along rows and columns at once: vec(G g G^T) = (G kron G) vec(g)
_FROM_KERNEL = torch.from_numpy(np.kron(_G, _G)).float()


def use_winograd(network: nn.Module) -> None:
    """Let the wide 3x3 convolutions of a network be computed by Winograd's algorithm; parameters stay as they are."""
    for module in network.modules():
        if type(module) is nn.Conv2d and module.out_channels >= SMALLEST_WIDTH and _is_plain_3x3(module):
            module.__class__ = Conv3x3


def _is_plain_3x3(module: nn.Conv2d) -> bool:
    shape = module.kernel_size, module.stride, module.padding, module.dilation
    return shape == ((3, 3), (1, 1), (1, 1), (1, 1)) and module.groups == 1 and module.bias is not None


class Conv3x3(nn.Conv2d):
    """A 3x3 convolution that keeps the size; uses Winograd's algorithm where it is faster than torch's own."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (b,c,h,w) to (b,c2,h,w)."""
        is_fast = x.device.type == "cpu" and x.dtype == torch.float32 and not torch.compiler.is_compiling()
        if not is_fast or x[:, 0].numel() < SMALLEST_PX:
            return super().forward(x)
        return _Convolution.apply(x, self.weight, self.bias)  # type: ignore[no-any-return]


class _Convolution(torch.autograd.Function):
    """The convolution and its gradients, themselves such convolutions and products of tiles."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _convolve(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = _convolve(gradient, weight.flip(2, 3).transpose(0, 1), gradient.new_zeros(x.shape[1]))
        return of_x, _weight_gradient(x, gradient), gradient.sum((0, 2, 3))


def _convolve(
    x: Float32[Tensor, "b c h w"], weight: Float32[Tensor, "c2 c 3 3"], bias: Float32[Tensor, " c2"]
) -> Float32[Tensor, "b c2 h w"]:
    from segmentation.network.winograd_kernels import cut_windows, join_products

    outputs, inputs = weight.shape[:2]
    kernel = (_FROM_KERNEL @ weight.reshape(-1, 9).T).view(36, outputs, inputs)
    y = x.new_empty(len(x), outputs, *x.shape[-2:])
    windows, products = _Tiles(inputs), _Tiles(outputs)
    added = bias.detach().numpy()
    for begin, count in _pieces(x):
        windows.fill(cut_windows, x, begin, count)
        for of_windows, of_kernel, product in zip(windows.parts(count), kernel, products.parts(count), strict=True):
            torch.mm(of_kernel, of_windows, out=product)
        _share(partial(join_products, products.memory, added, begin, count, y.numpy()), outputs, count)
    return y


def _weight_gradient(
    x: Float32[Tensor, "b c h w"], gradient: Float32[Tensor, "b c2 h w"]
) -> Float32[Tensor, "c2 c 3 3"]:
    from segmentation.network.winograd_kernels import cut_windows, spread_blocks

    inputs, outputs = x.shape[1], gradient.shape[1]
    of_kernel = x.new_zeros(36, outputs, inputs)
    windows, blocks = _Tiles(inputs), _Tiles(outputs)
    for begin, count in _pieces(x):
        windows.fill(cut_windows, x, begin, count)
        blocks.fill(spread_blocks, gradient, begin, count)
        for of_windows, of_blocks, total in zip(windows.parts(count), blocks.parts(count), of_kernel, strict=True):
            total.addmm_(of_blocks, of_windows.T)
    return (_FROM_KERNEL.T @ of_kernel.view(36, -1)).T.reshape(outputs, inputs, 3, 3)


class _Tiles:
    """Memory for the transformed values of a piece.

    Args:
        channels: number of channels.

    Attributes:
        memory: (channels, 36 * TILES) float32.
    """

    def __init__(self, channels: int) -> None:
        from segmentation.network.winograd_kernels import TILES

        self.memory = np.empty((channels, 36 * TILES), np.float32)
        self._values = torch.from_numpy(self.memory).view(channels, 36, TILES)

    def fill(self, transform: Callable[..., None], maps: Float32[Tensor, "b c h w"], begin: int, count: int) -> None:
        """Write the transformed values of blocks begin..begin+count-1 of a batch."""
        values = maps.detach().contiguous().numpy()
        _share(partial(transform, values, begin, count, self.memory), len(self.memory), count)

    def parts(self, count: int) -> Iterable[Float32[Tensor, "c count"]]:
        """Return the values of each of the 36 places in a window."""
        return self._values[:, :, :count].unbind(1)


def _pieces(x: Float32[Tensor, "b c h w"]) -> Iterator[tuple[int, int]]:
    """Yield the first block and the number of blocks of each piece of a batch."""
    from segmentation.network.winograd_kernels import TILES

    blocks = len(x) * -(-x.shape[2] // 4) * -(-x.shape[3] // 4)
    for begin in range(0, blocks, TILES):
        yield begin, min(TILES, blocks - begin)


def _share(work: Callable[[int, int], None], channels: int, blocks: int) -> None:
    """Share the channels of a piece among the threads."""
    from flowsim.kernels.threads import share_rows

    share_rows(work, channels, 16 * blocks, torch.get_num_threads())
