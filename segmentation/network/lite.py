"""EfficientNet-Lite as an encoder that is quick to train on a CPU.

Three things make it quick. Its last stage, a fifth of the parameters, is left out. Its batch norms keep the statistics
of the first weights, so that each is a scale and a shift that are multiplied into the convolution before it; all
weights, scales and shifts learn. Its maps lie in memory with the channels last.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from timm.layers import pad_same
from torch import Tensor, nn
from torch.nn import functional as F

from segmentation.network.encoder import IMAGENET_MEAN, IMAGENET_STD, Encoder

STAGES = 6
"""Number of stages that are kept; timm's network has a seventh, which widens the last one without a new scale."""
LEVELS = (1, 2, 4, 5)
"""Stages whose outputs are the levels at strides 4, 8, 16 and 32."""
CALIBRATION_SHAPE = (4, 3, 64, 64)


class LiteEncoder(Encoder):
    """An EfficientNet-Lite of timm without its last stage and with fixed statistics of the batch norms.

    Args:
        backbone: timm's network, made with `features_only`; its last stage is removed.
    """

    def __init__(self, backbone: Any) -> None:
        backbone.blocks = backbone.blocks[:STAGES]
        channels = [_last_norm(stage[-1]).num_features for stage in (backbone.blocks[place] for place in LEVELS)]
        mean, std = (backbone.default_cfg.get(name, usual) for name, usual in _NORMALIZATION)
        super().__init__(backbone, channels, mean, std)

    def _levels(self, normalized: Tensor) -> list[Tensor]:
        backbone: Any = self.backbone
        x = normalized.contiguous(memory_format=torch.channels_last)
        x = _convolve(backbone.conv_stem, backbone.bn1, x)
        levels = []
        for place, stage in enumerate(backbone.blocks):
            for block in stage:
                x = _run_block(block, x)
            if place in LEVELS:
                levels.append(x)
        return levels


_NORMALIZATION = (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD))


@torch.no_grad()
def calibrate_norms(backbone: nn.Module) -> None:
    """Set the statistics of all batch norms to those of noise, where random weights have none of their own.

    Args:
        backbone: timm's network with random weights; left in training mode.
    """
    norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    backbone.train()(torch.randn(CALIBRATION_SHAPE))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _run_block(block: Any, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
    y = x
    for convolution, norm in _layers(block):
        y = _convolve(convolution, norm, y)
    return x + y if block.has_skip else y


def _layers(block: Any) -> tuple[tuple[Any, Any], ...]:
    """Return the convolutions of a block of timm, each with its norm."""
    if hasattr(block, "conv_pwl"):  # an inverted residual: widen, look around, narrow
        return (block.conv_pw, block.bn1), (block.conv_dw, block.bn2), (block.conv_pwl, block.bn3)
    return (block.conv_dw, block.bn1), (block.conv_pw, block.bn2)


def _last_norm(block: Any) -> Any:
    return _layers(block)[-1][1]


def _convolve(convolution: Any, norm: Any, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
    """Apply a convolution, its batch norm with fixed statistics, and the activation, as one convolution."""
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    weight, bias = convolution.weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale
    padding = convolution.padding
    if convolution.stride != (1, 1):  # TensorFlow pads right and below before it pads left and above
        x, padding = pad_same(x, convolution.kernel_size, convolution.stride), 0
    y: Tensor = norm.act(F.conv2d(x, weight, bias, convolution.stride, padding, groups=convolution.groups))
    return y
