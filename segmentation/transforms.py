"""From samples of any size to a batch for the network: resize, flip, crop, colour jitter; on the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float32, UInt8
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
        mask: 1 = object.
    """

    image: Float32[Tensor, "b 3 s s"]
    flow_rgb: Float32[Tensor, "b 3 s s"]
    mask: UInt8[Tensor, "b s s"]


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
    is_physical = augmentation.flips == "physical"
    parts = [
        _prepare(sample, crop, Flip(rows, columns, is_physical), side_px, device)
        for sample, crop, (rows, columns) in zip(
            samples, _crops(samples, drawn[:, 2:5], augmentation), flips.tolist(), strict=True
        )
    ]
    image, flow_rgb = (_to_unit_range([part[place] for part in parts]) for place in (0, 1))
    mask = torch.cat([part[2] for part in parts])
    if augmentation.jitter:
        image = _jitter(image, (1 + augmentation.jitter * (2 * drawn[:, 5:] - 1)).to(device))
    return Batch(image, flow_rgb, mask[:, 0])


def flow_to_network_rgb(flow_px: Float32[Tensor, "*b h w 2"]) -> Float32[Tensor, "*b 3 h w"]:
    """Colour flow as the network sees it: each field by its own longest vector, RGB in [0, 1], channels first."""
    return flow_to_rgb(flow_px).movedim(-1, -3).float() / 255


class Flip(NamedTuple):
    """Which axes of one sample are mirrored, and whether the motion is mirrored with them."""

    rows: bool
    columns: bool
    is_physical: bool


def _prepare(
    sample: Triplet, crop: tuple[slice, slice], flip: Flip, side_px: int, device: torch.device | str
) -> tuple[Tensor, Tensor, Tensor]:
    """Crop, mirror and resize one sample: image and flow colours (1,3,s,s), mask (1,1,s,s), all uint8."""
    image, flow_px, mask = (tensor[crop].to(device, non_blocking=True) for tensor in sample[1:])
    if flip.is_physical and (flip.rows or flip.columns):
        # A mirrored scene moves the mirrored way: (u, v) becomes (-u, v) left to right and (u, -v) top to bottom.
        flow_px = flow_px * torch.tensor([-1.0 if flip.columns else 1.0, -1.0 if flip.rows else 1.0], device=device)
    axes = [axis for axis, chosen in ((0, flip.rows), (1, flip.columns)) if chosen]
    image, colors, mask = (pixels.flip(axes) if axes else pixels for pixels in (image, flow_to_rgb(flow_px), mask))
    square = F.interpolate(mask[None, None], (side_px, side_px), mode="nearest-exact")
    return _resize_pixels(image, side_px), _resize_pixels(colors, side_px), square


def _resize_pixels(pixels: UInt8[Tensor, "h w 3"], side_px: int) -> UInt8[Tensor, "1 3 s s"]:
    """Resize to a square by bicubic interpolation, in bytes: the CPU resizes them 15 times faster than floats."""
    batch = pixels.movedim(-1, 0)[None]
    if pixels.device.type == "cpu":
        return resize_bicubic(batch, (side_px, side_px))
    return resize_bicubic(batch.float(), (side_px, side_px)).round().clamp(0, 255).to(torch.uint8)


def _to_unit_range(pictures: list[Tensor]) -> Float32[Tensor, "b 3 s s"]:
    """Join bytes (1,3,s,s) to floats in [0, 1], one picture at a time: it stays in the processor's cache."""
    first = pictures[0]
    batch = torch.empty((len(pictures), *first.shape[1:]), device=first.device)
    for place, picture in enumerate(pictures):
        batch[place].copy_(picture[0]).div_(255)
    return batch


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


def _jitter(image: Float32[Tensor, "b 3 h w"], factors: Float32[Tensor, "b 3"]) -> Float32[Tensor, "b 3 h w"]:
    """Scale brightness, contrast about the mean grey, and saturation about each pixel's grey; cut to [0, 1]."""
    brightness, contrast, saturation = factors[:, :, None, None, None].unbind(1)
    weights = torch.tensor(LUMA, device=image.device).view(1, 3, 1, 1)
    image = (image * brightness).clamp(0, 1)
    mean = (image * weights).sum(1, keepdim=True).mean((2, 3), keepdim=True)
    image = (mean + contrast * (image - mean)).clamp(0, 1)
    grey = (image * weights).sum(1, keepdim=True)
    return (grey + saturation * (image - grey)).clamp(0, 1)
