"""RegNetY-400MF (Radosavovic et al., "Designing Network Design Spaces", CVPR 2020) as an encoder of four scales.

It computes what timm's `regnety_004` computes, with parameters of the same names, so that weights fit both. timm takes
as long to import as torch does, and a run on a few photos spends most of its time on imports.
"""

from __future__ import annotations

from collections import OrderedDict

from jaxtyping import Float
from torch import Tensor, nn

NAME = "regnety_004"
"""Name of the network in timm."""
STEM_CHANNELS = 32
CHANNELS = (48, 104, 208, 440)
"""Channels at strides 4, 8, 16 and 32."""
BLOCKS = (1, 3, 6, 6)
GROUP_CHANNELS = 8
SQUEEZE = 0.25
"""Channels of the squeeze relative to those that enter a block."""


class RegNetY004(nn.Sequential):
    """Map photos (b, 3, h, w) to features at strides 4, 8, 16 and 32."""

    channels = CHANNELS

    def __init__(self) -> None:
        super().__init__(OrderedDict(stem=_ConvNorm(3, STEM_CHANNELS, size=3, stride=2)))
        inside = STEM_CHANNELS
        for number, (channels, blocks) in enumerate(zip(CHANNELS, BLOCKS, strict=True), 1):
            made = [_Block(inside if first else channels, channels, 2 if first else 1) for first in _flags(blocks)]
            self.add_module(f"s{number}", nn.Sequential(OrderedDict((f"b{k}", one) for k, one in enumerate(made, 1))))
            inside = channels

    def forward(self, photo: Float[Tensor, "b 3 h w"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the features of the four stages, from fine to coarse."""
        stem, *stages = self
        x: Tensor = stem(photo)
        features = []
        for stage in stages:
            x = stage(x)
            features.append(x)
        s1, s2, s3, s4 = features
        return s1, s2, s3, s4


class _NormAct(nn.BatchNorm2d):
    """Batch norm followed by an activation, as one module, which `depth.networks.fold_batch_norms` knows."""

    def __init__(self, channels: int, is_active: bool) -> None:
        super().__init__(channels)
        self.act = nn.ReLU(inplace=True) if is_active else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        activated: Tensor = self.act(super().forward(x))
        return activated


class _ConvNorm(nn.Module):
    def __init__(
        self, inside: int, outside: int, *, size: int = 1, stride: int = 1, groups: int = 1, is_active: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, size, stride, size // 2, groups=groups, bias=False)
        self.bn = _NormAct(outside, is_active)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn(self.conv(x))
        return y


class _Squeeze(nn.Module):
    """Squeeze-and-excitation: scales channels by a function of their means."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        scale: Tensor = self.fc2(self.fc1(x.mean((2, 3), keepdim=True)).relu()).sigmoid()
        return x * scale


class _Block(nn.Module):
    def __init__(self, inside: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _ConvNorm(inside, channels)
        self.conv2 = _ConvNorm(channels, channels, size=3, stride=stride, groups=channels // GROUP_CHANNELS)
        self.se = _Squeeze(channels, round(inside * SQUEEZE))
        self.conv3 = _ConvNorm(channels, channels, is_active=False)
        is_plain = inside == channels and stride == 1
        self.downsample = nn.Identity() if is_plain else _ConvNorm(inside, channels, stride=stride, is_active=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv3(self.se(self.conv2(self.conv1(x))))
        x = y + self.downsample(x)
        return x.relu()


def _flags(blocks: int) -> list[bool]:
    """Return whether each block is the first of its stage."""
    return [True] + [False] * (blocks - 1)
