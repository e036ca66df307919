"""The interface of the encoders: from RGB to features at four scales."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Encoder(nn.Module, ABC):
    """Encoder of one stream: normalises RGB and returns features at strides 4, 8, 16 and 32.

    Mean and deviation belong to the architecture and are not saved with the weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, backbone: nn.Module, channels: Sequence[int], mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        self.backbone, self.channels = backbone, tuple(channels)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, rgb: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """Map RGB in [0, 1] to four levels (b, c, h/stride, w/stride), finest first."""
        return self._levels((rgb - self.mean) / self.std)

    @abstractmethod
    def _levels(self, normalized: Tensor) -> list[Tensor]:
        """Return the backbone's four levels of normalised RGB."""
