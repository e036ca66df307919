"""From samples of any size to a batch for the network: resize, flip, crop, colour jitter; on the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from flowsim import flow_to_rgb
from segmentation.datasets import Triplet
from segmentation.errors import SegmentationError
from segmentation.model import NETWORK_SIDE_PX
from segmentation.resize import resize_bicubic

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
        The batch, in the order of memory that torch calls channels_last; image and flow resized by bicubic
        interpolation as published, masks by the nearest pixel.

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
    image, flow_rgb = (_new_batch((len(samples), side_px, side_px, 3), torch.float32, device) for _ in range(2))
    mask = _new_batch((len(samples), side_px, side_px), torch.uint8, device)
    crops = _crops(samples, drawn[:, 2:5], augmentation)
    prepare = _prepare_on_host if mask.device.type == "cpu" else _prepare_on_device
    for place, (sample, crop, (rows, columns)) in enumerate(zip(samples, crops, flips.tolist(), strict=True)):
        pixels, colors, labels = prepare(sample, crop, Flip(rows, columns, is_physical), side_px, mask.device)
        # One picture at a time: it stays in the processor's cache.
        image[place].copy_(pixels).div_(255)
        flow_rgb[place].copy_(colors).div_(255)
        mask[place].copy_(labels)
    image, flow_rgb = image.movedim(-1, 1), flow_rgb.movedim(-1, 1)
    if augmentation.jitter:
        image = _jitter(image, (1 + augmentation.jitter * (2 * drawn[:, 5:] - 1)).to(device))
    return Batch(image, flow_rgb, mask)


class Flip(NamedTuple):
    """Which axes of one sample are mirrored, and whether the motion is mirrored with them."""

    rows: bool
    columns: bool
    is_physical: bool

    @property
    def axes(self) -> list[int]:
        """Axes to mirror."""
        return [axis for axis, chosen in ((0, self.rows), (1, self.columns)) if chosen]

    def mirror_motion(self, flow_px: Float32[Tensor, "h w 2"]) -> Float32[Tensor, "h w 2"]:
        """Mirror the vectors where they stand; their places are left to the caller.

        A mirrored scene moves the mirrored way: (u, v) becomes (-u, v) left to right and (u, -v) top to bottom.
        """
        if not (self.is_physical and self.axes):
            return flow_px
        signs = torch.tensor([-1.0 if self.columns else 1.0, -1.0 if self.rows else 1.0], device=flow_px.device)
        return flow_px * signs

    def mirror_pixels(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Mirror a picture of the host."""
        if not self.axes:
            return pixels
        mirrored: NDArray[np.uint8] = cv2.flip(pixels, -1 if len(self.axes) == 2 else self.axes[0])
        return mirrored


def _new_batch(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device | str) -> Tensor:
    """Return an uninitialised tensor."""
    if torch.device(device).type != "cpu":
        return torch.empty(shape, dtype=dtype, device=device)
    # numpy asks for huge pages: the first touch of fresh memory in small ones takes longer than all the work on it.
    return torch.from_numpy(np.empty(shape, str(dtype).removeprefix("torch.")))


def _prepare_on_host(
    sample: Triplet, crop: tuple[slice, slice], flip: Flip, side_px: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Crop, mirror and resize one sample by OpenCV: image and flow colours (s,s,3), mask (s,s), all uint8.

    Its bicubic interpolation in whole numbers is that of torch in floats to one level of 255.
    """
    image, flow_px, mask = (tensor[crop] for tensor in sample[1:])
    colors = flow_to_rgb(flip.mirror_motion(flow_px))
    square = (side_px, side_px)
    ways = ((image, cv2.INTER_CUBIC), (colors, cv2.INTER_CUBIC), (mask, cv2.INTER_NEAREST_EXACT))
    resized = [cv2.resize(flip.mirror_pixels(pixels.numpy()), square, interpolation=way) for pixels, way in ways]
    image, colors, mask = map(torch.from_numpy, resized)
    return image, colors, mask


def _prepare_on_device(
    sample: Triplet, crop: tuple[slice, slice], flip: Flip, side_px: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Do the same by torch on another device than the CPU."""
    image, flow_px, mask = (tensor[crop].to(device, non_blocking=True) for tensor in sample[1:])
    colors = flow_to_rgb(flip.mirror_motion(flow_px))
    image, colors, mask = (pixels.flip(flip.axes) if flip.axes else pixels for pixels in (image, colors, mask))
    labels = F.interpolate(mask[None, None], (side_px, side_px), mode="nearest-exact")[0, 0]
    return _resize_on_device(image, side_px), _resize_on_device(colors, side_px), labels


def _resize_on_device(pixels: UInt8[Tensor, "h w 3"], side_px: int) -> UInt8[Tensor, "s s 3"]:
    """Resize to a square by bicubic interpolation, rounded to bytes as files have them."""
    batch = pixels.movedim(-1, 0)[None].float()
    return resize_bicubic(batch, (side_px, side_px))[0].round().clamp(0, 255).to(torch.uint8).movedim(0, -1)


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
