"""The two-stream network of FakeFlow (Cho et al., arXiv 2407.11714): image and flow in, two logits per pixel out.

One encoder sees the image, another the flow as RGB. Their features are added at four scales, and a decoder goes from
coarse to fine. It has 256 channels as published, and fewer in smaller networks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from segmentation.errors import SegmentationError
from segmentation.network.encoders import make_encoder
from segmentation.network.resize import resize_bicubic, resize_features
from segmentation.network.sizes import PUBLISHED_WIDTH

NETWORK_SIDE_PX = 512
SPATIAL_CHANNELS = 16


class TwoStreamNetwork(nn.Module):
    """Segment the object that image and flow show.

    Args:
        encoder: `mit-b0`, `mit-b1`, `mit-b2`, `lite0`, `lite1`, `lite2`, or `timm:` and the name of a timm backbone
            with strides 4, 8, 16, 32.
        initialization: of both encoders: `imagenet` (from the hub), `random`, or a path; see `make_encoder`. The
            decoder always starts from random weights.
        side_px: inputs are resized to a square of this side, 512 as published.
        decoder_width: number of channels in the decoder, 256 as published.
        seed: of the random weights. torch's global generator is left as it was.

    Raises:
        SegmentationError: unknown encoder, no network, no such path, or weights of another encoder.
    """

    def __init__(
        self,
        encoder: str = "mit-b0",
        *,
        initialization: str,
        side_px: int = NETWORK_SIDE_PX,
        decoder_width: int = PUBLISHED_WIDTH,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.encoder_name, self.side_px, self.decoder_width = encoder, side_px, decoder_width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.image_encoder = make_encoder(encoder, initialization, side_px)
            self.flow_encoder = make_encoder(encoder, initialization, side_px)
            self.decoder = Decoder(self.image_encoder.channels, decoder_width)

    def forward(self, image: Tensor, flow_rgb: Tensor) -> Float[Tensor, "b 2 h w"]:
        """Return the logits of background and object, at the input's size.

        Args:
            image: (b,3,h,w) float, RGB in [0, 1], of any size.
            flow_rgb: (b,3,h,w) float, the flow's colours in [0, 1], from `flow_colors`.

        Raises:
            SegmentationError: the two inputs do not fit each other, or are no float RGB.
        """
        if image.shape != flow_rgb.shape or image.ndim != 4 or image.shape[1] != 3 or 0 in image.shape:
            raise SegmentationError(
                f"image has shape {tuple(image.shape)} and flow_rgb {tuple(flow_rgb.shape)}; expected both (b,3,h,w)"
            )
        if not (image.is_floating_point() and flow_rgb.is_floating_point()):
            raise SegmentationError(
                f"image is {image.dtype} and flow_rgb {flow_rgb.dtype}; expected float in [0, 1]: divide uint8 by 255"
            )
        return self._logits(image, flow_rgb)

    def _logits(self, image: Float[Tensor, "b 3 h w"], flow_rgb: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 2 h w"]:
        square = (self.side_px, self.side_px)
        image_levels = self.image_encoder(resize_bicubic(image, square))
        flow_levels = self.flow_encoder(resize_bicubic(flow_rgb, square))
        logits = self.decoder([a + m for a, m in zip(image_levels, flow_levels, strict=True)])
        # Twice, as published: to the network's square, and from there to the input's size.
        return resize_bicubic(resize_features(logits.float(), square), tuple(image.shape[-2:]))

    @torch.no_grad()
    def predict(self, image: Tensor, flow_rgb: Tensor) -> UInt8[Tensor, "b h w"]:
        """Return masks (1 = object), always computed in evaluation mode; the arguments are those of `forward`."""
        was_training = self.training
        self.eval()
        try:
            logits: Tensor = self(image, flow_rgb)
        finally:
            self.train(was_training)
        is_object = logits[:, 1] > logits[:, 0]
        return is_object.to(torch.uint8)


class Decoder(nn.Module):
    """Decoder that merges four levels from coarse to fine and returns logits at the size of the finest level.

    Args:
        level_channels: of the levels, finest first.
        width: number of channels into which the levels are merged.
    """

    def __init__(self, level_channels: Sequence[int], width: int) -> None:
        super().__init__()
        coarse_to_fine = list(level_channels)[::-1]
        self.stages = nn.ModuleList(DecoderStage(c, width, is_first=i == 0) for i, c in enumerate(coarse_to_fine))
        self.predictor = nn.Conv2d(width, 2, 3, padding=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, levels: list[Tensor]) -> Float[Tensor, "b 2 rows columns"]:
        """Map levels (b, c, rows, columns), finest first, to logits."""
        merged: Tensor | None = None
        for stage, level in zip(self.stages, reversed(levels), strict=True):
            merged = stage(level, merged)
        logits: Tensor = self.predictor(merged)
        return logits


class DecoderStage(nn.Module):
    """Decoder stage: projects one level to the decoder's width, blends it with coarser stages and applies attention."""

    def __init__(self, channels: int, width: int, *, is_first: bool) -> None:
        super().__init__()
        self.project = nn.Conv2d(channels, width, 1)
        self.blend = nn.Conv2d(width * (1 if is_first else 2), width, 3, padding=1)
        self.attention = ConvolutionalAttention(width)

    def forward(self, level: Float[Tensor, "b c h w"], coarser: Tensor | None) -> Float[Tensor, "b c2 h w"]:
        """Return the merged features at the size of `level`; `coarser` is None at the coarsest."""
        x = F.relu(self.project(level))
        if coarser is not None:
            x = torch.cat([x, resize_features(coarser, tuple(level.shape[-2:]))], 1)
        attended: Tensor = self.attention(F.relu(self.blend(x)))
        return attended


class ConvolutionalAttention(nn.Module):
    """CBAM (Woo et al., ECCV 2018, equations 1-3) behind a convolution, with two 3x3 convolutions over the pixels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.channel = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.ReLU(), nn.Conv2d(channels, channels, 1))
        self.spatial = nn.Sequential(
            nn.Conv2d(2, SPATIAL_CHANNELS, 3, padding=1), nn.ReLU(), nn.Conv2d(SPATIAL_CHANNELS, 1, 3, padding=1)
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Apply channel attention, then spatial attention."""
        x = self.conv(x)
        # F' = sigmoid(MLP(mean over pixels) + MLP(maximum over pixels)) F
        pooled = self.channel(x.mean((2, 3), keepdim=True)) + self.channel(x.amax((2, 3), keepdim=True))
        x = x * torch.sigmoid(pooled)
        # F'' = sigmoid(conv([mean over channels; maximum over channels])) F'
        pooled = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.spatial(pooled))
