"""tiny-dpt: DPT's reassemble-and-fuse head over a small convolutional encoder, with a few million parameters in all.

The head follows Ranftl et al., "Vision Transformers for Dense Prediction" (ICCV 2021), section 3.1: features of four
scales are projected to one width, then merged from coarse to fine by residual convolution units with bilinear
up-sampling. The encoder is convolutional, because training from scratch on ten thousand photos works better with it
than with a ViT.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from depth import regnet

Tiny = TypeVar("Tiny", bound="TinyDPT")


class ResidualConvUnit(nn.Module):
    """Two pre-activated 3x3 convolutions with a skip connection (RefineNet's unit, as used by DPT)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        residual: Tensor = self.layers(x)
        return x + residual


class TinyDPT(nn.Module):
    """Predict relative inverse depth (larger = nearer, unknown scale and shift) at half the input resolution.

    Args:
        encoder: name of a timm backbone with features at strides 4, 8, 16 and 32.
        width: channels of the fused features.
        is_to_be_loaded: whether weights are loaded afterwards, so that first weights to learn from are not needed.
    """

    def __init__(self, encoder: str = regnet.NAME, width: int = 48, *, is_to_be_loaded: bool = False) -> None:
        super().__init__()
        self.encoder_name, self.width = encoder, width
        self.encoder: nn.Module
        channels: Sequence[int]
        if is_to_be_loaded and encoder == regnet.NAME:
            self.encoder, channels = regnet.RegNetY004(), regnet.CHANNELS
        else:
            import timm  # takes as long to import as torch

            backbone: Any = timm.create_model(encoder, pretrained=False, features_only=True, out_indices=(1, 2, 3, 4))
            self.encoder, channels = backbone, backbone.feature_info.channels()
        self.reassemble = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)) for c in channels
        )
        self.skip_units = nn.ModuleList(ResidualConvUnit(width) for _ in channels)
        self.fuse_units = nn.ModuleList(ResidualConvUnit(width) for _ in channels)
        self.head = nn.Sequential(
            nn.Conv2d(width, width // 2, 3, padding=1),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
            nn.Conv2d(width // 2, width // 4, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width // 4, 1, 1),
        )

    def forward(self, photo: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b h2 w2"]:
        """Map photos normalised to mean 0.5 and deviation 0.5, sides multiples of 32, to (b, h/2, w/2)."""
        levels = [project(x) for project, x in zip(self.reassemble, self.encoder(photo), strict=True)]
        fused: Tensor = self.fuse_units[-1](self.skip_units[-1](levels[-1]))
        for level in (2, 1, 0):
            fused = F.interpolate(fused, scale_factor=2.0, mode="bilinear", align_corners=False)
            fused = self.fuse_units[level](fused + self.skip_units[level](levels[level]))
        inverse_depth: Tensor = self.head(fused)
        return inverse_depth[:, 0]

    def save(self, folder: Path, short_side: int) -> None:
        """Write `config.json` and `model.safetensors` (float16) into `folder`.

        Args:
            folder: folder to write to; it is made if absent.
            short_side: shorter side of the network's input, in pixels.
        """
        folder.mkdir(parents=True, exist_ok=True)
        weights = {
            name: (value.half() if value.is_floating_point() else value).contiguous()
            for name, value in self.state_dict().items()
        }
        save_file(weights, folder / "model.safetensors")
        config = {"model_type": "tiny-dpt", "encoder": self.encoder_name, "width": self.width, "short_side": short_side}
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")

    @classmethod
    def load(cls: type[Tiny], folder: Path) -> Tiny:
        """Load a model that `save` wrote, in float32 and evaluation mode.

        Raises:
            FileNotFoundError: `folder` has no `config.json` or no `model.safetensors`.
            RuntimeError: the weights belong to another architecture.
        """
        config = json.loads((folder / "config.json").read_text())
        model = cls(encoder=config["encoder"], width=config["width"], is_to_be_loaded=True)
        weights = load_file(folder / "model.safetensors")
        model.load_state_dict({n: v.float() if v.is_floating_point() else v for n, v in weights.items()})
        return model.eval()
