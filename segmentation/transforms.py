"""From samples of any size to a batch for the network: resize, flip, crop, colour jitter; on the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor
from torch.nn import functional as F

from flowsim import flow_to_rgb
from segmentation.datasets import Triplet
from segmentation.errors import SegmentationError
from segmentation.model import NETWORK_SIDE_PX, resize_bicubic

FLIPS = ("reference", "physical", "none")
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601)."""


@dataclass(frozen=True)
class Augmentation:
    """How training samples are varied.

    Attributes:
        flips: of rows and of columns, each with probability 1/2: `physical` mirrors the motion with the picture;
            `reference` moves the flow's pixels but keeps their colours, so that directions are wrong, as published;
            `none`.
        smallest_crop: random crops keep at least this part of the area, in (0, 1]; 1: no crops.
        jitter: brightness, contrast and saturation of the image change by a factor within 1 +- this, in [0, 1).

    Raises:
        SegmentationError: a value is out of range.
    """

    flips: str = "physical"
    smallest_crop: float = 1.0
    jitter: float = 0.0

    def __post_init__(self) -> None:
        if self.flips not in FLIPS:
            raise SegmentationError(f"flips is {self.flips!r}; expected one of {', '.join(FLIPS)}.")
        if not 0 < self.smallest_crop <= 1:
            raise SegmentationError(f"smallest_crop is {self.smallest_crop}; expected a part of the area in (0, 1].")
        if not 0 <= self.jitter < 1:
            raise SegmentationError(f"jitter is {self.jitter}; expected in [0, 1).")


class Batch(NamedTuple):
    """What the network learns from.

    Attributes:
        image: RGB in [0, 1].
        flow_rgb: the flow's colours in [0, 1].
        label: 1 = object.
    """

    image: Float32[Tensor, "b 3 s s"]
    flow_rgb: Float32[Tensor, "b 3 s s"]
    label: Int64[Tensor, "b s s"]


def make_batch(
    samples: Sequence[Triplet],
    *,
    augmentation: Augmentation | None = None,
    generator: torch.Generator | None = None,
    side_px: int = NETWORK_SIDE_PX,
    device: torch.device | str = "cpu",
) -> Batch:
    """Bring samples to one square size, and vary them if `augmentation` is given.

    Args:
        samples: of any sizes.
        augmentation: None: as they are, for validation.
        generator: on the CPU; what it draws does not depend on the device. Needed with an augmentation.
        side_px: of the square.
        device: where the work is done and the batch lies.

    Returns:
        The batch; image and flow resized by bicubic interpolation as published, masks by the nearest pixel.

    Raises:
        SegmentationError: no samples, or an augmentation without a generator.
    """
    if not samples:
        raise SegmentationError("a batch needs at least one sample")
    if augmentation is None:
        augmentation, drawn = Augmentation(flips="none"), torch.zeros(len(samples), 8)
    elif generator is None:
        raise SegmentationError("augmentation needs an explicit torch.Generator")
    else:
        drawn = torch.rand(len(samples), 8, generator=generator)
    flips = (drawn[:, :2] < 0.5) & (augmentation.flips != "none")
    parts = [
        _prepare(sample, flip.tolist() if augmentation.flips == "physical" else [False, False], crop, side_px, device)
        for sample, flip, crop in zip(samples, flips, _crops(samples, drawn[:, 2:5], augmentation), strict=True)
    ]
    image, flow_rgb, label = (_mirror(torch.cat(tensors), flips.to(device)) for tensors in zip(*parts, strict=True))
    if augmentation.jitter:
        image = _jitter(image, (1 + augmentation.jitter * (2 * drawn[:, 5:] - 1)).to(device))
    return Batch(image, flow_rgb, label[:, 0].long())


def flow_to_network_rgb(flow_px: Float32[Tensor, "*b h w 2"]) -> Float32[Tensor, "*b 3 h w"]:
    """Colour flow as the network sees it: each field by its own longest vector, RGB in [0, 1], channels first."""
    return flow_to_rgb(flow_px).movedim(-1, -3).float() / 255


def _prepare(
    sample: Triplet, mirrored: list[bool], crop: tuple[slice, slice], side_px: int, device: torch.device | str
) -> tuple[Tensor, Tensor, Tensor]:
    """Crop and resize one sample: image and flow (1,3,s,s), mask (1,1,s,s).

    Args:
        sample: any size.
        mirrored: whether rows, columns will be mirrored afterwards and motion with them.
        crop: rows and columns to keep.
        side_px: s.
        device: where to.
    """
    image, flow_px, mask = (tensor[crop].to(device, non_blocking=True) for tensor in sample[1:])
    rows, columns = mirrored
    # A mirrored scene moves the mirrored way: (u, v) becomes (-u, v) left to right and (u, -v) top to bottom.
    signs = torch.tensor([-1.0 if columns else 1.0, -1.0 if rows else 1.0], device=device)
    square = (side_px, side_px)
    pixels = image.movedim(-1, 0)[None].float() / 255
    colors = flow_to_network_rgb(flow_px * signs)[None]
    return (
        resize_bicubic(pixels, square).clamp(0, 1),
        resize_bicubic(colors, square).clamp(0, 1),
        F.interpolate(mask[None, None].float(), square, mode="nearest-exact").to(torch.uint8),
    )


def _crops(
    samples: Sequence[Triplet], drawn: Float32[Tensor, "b 3"], augmentation: Augmentation
) -> list[tuple[slice, slice]]:
    """Return rows and columns to keep of each sample: a rectangle of its aspect, anywhere in it."""
    crops = []
    for sample, (size, top, left) in zip(samples, drawn.tolist(), strict=True):
        scale = (1 - (1 - augmentation.smallest_crop) * size) ** 0.5
        height, width = sample.mask.shape
        rows, columns = max(1, round(scale * height)), max(1, round(scale * width))
        row, column = int(top * (height - rows + 1)), int(left * (width - columns + 1))
        crops.append((slice(row, row + rows), slice(column, column + columns)))
    return crops


def _mirror(pixels: Tensor, flips: Bool[Tensor, "b 2"]) -> Tensor:
    """Mirror the rows and the columns of those samples (b,c,h,w) that `flips` marks."""
    for axis, marked in ((-2, flips[:, 0]), (-1, flips[:, 1])):
        pixels = torch.where(marked[:, None, None, None], pixels.flip(axis), pixels)
    return pixels


def _jitter(image: Float32[Tensor, "b 3 h w"], factors: Float32[Tensor, "b 3"]) -> Float32[Tensor, "b 3 h w"]:
    """Scale brightness, contrast about the mean grey, and saturation about each pixel's grey; cut to [0, 1]."""
    brightness, contrast, saturation = factors[:, :, None, None, None].unbind(1)
    weights = torch.tensor(LUMA, device=image.device).view(1, 3, 1, 1)
    image = (image * brightness).clamp(0, 1)
    mean = (image * weights).sum(1, keepdim=True).mean((2, 3), keepdim=True)
    image = (mean + contrast * (image - mean)).clamp(0, 1)
    grey = (image * weights).sum(1, keepdim=True)
    return (grey + saturation * (image - grey)).clamp(0, 1)
