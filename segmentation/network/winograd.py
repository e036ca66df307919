"""3x3 convolutions with a quarter of the multiplications, for the CPU.

F(4x4, 3x3) of Lavin & Gray, Fast Algorithms for Convolutional Neural Networks (CVPR 2016, section 4): windows of 6x6
pixels and the kernel are transformed, multiplied element by element and summed over channels, and transformed back to
4x4 outputs. The result is that of the plain convolution to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

SMALLEST_WIDTH = 128
"""Smallest number of output channels; with fewer, torch's own convolution is faster."""
SMALLEST_PX = 32 * 32
"""Smallest number of pixels in a batch; with fewer, transforming the kernel costs more than it saves."""
SMALLEST_MAP_PX = 64 * 64
"""Maps of a batch that are smaller than this are laid side by side and share one transformed kernel."""
TILES_AT_ONCE = 256
"""Number of transformed values, over all channels, that fit into the processor's cache."""

# Y = A^T [(G g G^T) * (B^T d B)] A, for the points 0, 1, -1, 2, -2, infinity
_B = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
_G = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
_A = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])
# Along rows and columns at once: vec(T x T^T) = (T kron T) vec(x)
_FROM_KERNEL, _TO_OUTPUT = (torch.from_numpy(np.kron(T, T)).float() for T in (_G, _A))


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
        if x[0, 0].numel() >= SMALLEST_MAP_PX:
            return _Convolution.apply(x, self.weight, self.bias)  # type: ignore[no-any-return]
        together: Tensor = _Convolution.apply(_side_by_side(x), self.weight, self.bias)
        apart = together.view(*together.shape[1:3], len(x), -1)[..., : x.shape[-1]]
        return apart.permute(2, 0, 1, 3).contiguous()


def _side_by_side(x: Float32[Tensor, "b c h w"]) -> Float32[Tensor, "1 c h w2"]:
    """Make one map of all samples, with zeros between them as there are around each, in windows of their own."""
    width = x.shape[-1]
    return F.pad(x, (0, 4 - width % 4)).permute(1, 2, 0, 3).flatten(2)[None]


class _Convolution(torch.autograd.Function):
    """The convolution and its gradients, themselves such convolutions and products of tiles."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _convolve(x, weight).add_(bias[:, None, None])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        of_x = _convolve(gradient, weight.flip(2, 3).transpose(0, 1)) if ctx.needs_input_grad[0] else None
        return of_x, _weight_gradient(x, gradient), gradient.sum((0, 2, 3))


def _convolve(x: Float32[Tensor, "b c h w"], weight: Float32[Tensor, "c2 c 3 3"]) -> Float32[Tensor, "b c2 h w"]:
    outputs, inputs = weight.shape[:2]
    kernel = (_FROM_KERNEL @ weight.reshape(-1, 9).T).view(36, outputs, inputs)
    y = x.new_empty(len(x), outputs, *x.shape[-2:])
    for sample, result in zip(x.contiguous(), y, strict=True):
        for top, tiles in _tiles(sample):
            rows, columns = tiles.shape[-2:]
            products = torch.bmm(kernel, tiles.flatten(2))
            blocks = (_TO_OUTPUT @ products.view(36, -1)).view(16, outputs, rows, columns).transpose(0, 1)
            piece = result[:, 4 * top : 4 * (top + rows)]
            piece.copy_(F.pixel_shuffle(blocks, 4)[:, 0, : piece.shape[1], : piece.shape[2]])
    return y


def _weight_gradient(
    x: Float32[Tensor, "b c h w"], gradient: Float32[Tensor, "b c2 h w"]
) -> Float32[Tensor, "c2 c 3 3"]:
    of_kernel = x.new_zeros(36, gradient.shape[1], x.shape[1])
    for sample, above in zip(x.contiguous(), gradient, strict=True):
        for top, tiles in _tiles(sample):
            rows, columns = tiles.shape[-2:]
            piece = above[:, 4 * top : 4 * (top + rows)]
            missing = (0, 4 * columns - piece.shape[2], 0, 4 * rows - piece.shape[1])
            blocks = F.pixel_unshuffle(F.pad(piece, missing)[:, None], 4).transpose(0, 1)
            products = (_TO_OUTPUT.T @ blocks.reshape(16, -1)).view(36, len(piece), -1)
            of_kernel.baddbmm_(products, tiles.flatten(2).transpose(1, 2))
    return (_FROM_KERNEL.T @ of_kernel.view(36, -1)).T.reshape(gradient.shape[1], x.shape[1], 3, 3)


def _tiles(planes: Float32[Tensor, "c h w"]) -> Iterator[tuple[int, Float32[Tensor, "36 c rows columns"]]]:
    """Yield pieces of the transformed windows: the row of windows where a piece begins, and (36,c,rows,columns)."""
    from flowsim.kernels.threads import share_rows
    from segmentation.network.winograd_kernels import cut_tiles

    channels, height, width = planes.shape
    rows, columns = -(-height // 4), -(-width // 4)
    at_once = max(1, TILES_AT_ONCE // columns)
    pixels, matrix = planes.detach().numpy(), _B.astype(np.float32)
    memory = np.empty((36, channels, at_once, columns), np.float32)
    for top in range(0, rows, at_once):
        tiles = memory if rows - top >= at_once else np.empty((36, channels, rows - top, columns), np.float32)
        work = partial(cut_tiles, pixels, matrix, top, tiles)
        share_rows(work, channels, 4 * tiles.shape[2] * width, torch.get_num_threads())
        yield top, torch.from_numpy(tiles)
