"""Transforms of samples of any size into a batch: crops, flips and resizing of bytes, then floats on the device."""

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

from flowsim import flow_to_rgb, rgb_to_flow
from segmentation.data.photo_samples import Triplet
from segmentation.errors import SegmentationError
from segmentation.network.flow_colors import flow_colors
from segmentation.network.model import NETWORK_SIDE_PX

FLIPS = ("reference", "physical", "none")
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey value (ITU-R BT.601)."""


@dataclass(frozen=True)
class Augmentation:
    """Augmentation of training samples.

    Attributes:
        flips: flips of rows and of columns, each with probability 1/2. `physical` mirrors the motion with the picture;
            `reference` moves the pixels of the flow but keeps their colours, so that directions are wrong, as
            published; `none` flips nothing. Only physical flips change pictures of flow: their vectors are read back,
            mirrored and coloured again, which loses colours off the colour wheel, such as the noise of JPEG files.
        smallest_crop: smallest part of the area that random crops keep, in (0, 1]; 1 = no crops.
        jitter: brightness, contrast and saturation of the image change by factors within 1 +- this value, in [0, 1).

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
    """A batch of training samples on the device.

    Attributes:
        image: RGB in [0, 1].
        flow_rgb: colours of the flow in [0, 1].
        mask: 1 = object.
    """

    image: Float32[Tensor, "b 3 s s"]
    flow_rgb: Float32[Tensor, "b 3 s s"]
    mask: UInt8[Tensor, "b s s"]


class PreparedBatch(NamedTuple):
    """A batch of bytes before it is moved to the device; it takes a quarter of the memory of floats.

    Attributes:
        image: RGB.
        colors: colours of the flow.
        mask: 1 = object.
        factors: factors of brightness, contrast and saturation that `finish_batch` applies to each image.
        ids: ids of the samples.
    """

    image: UInt8[Tensor, "b s s 3"]
    colors: UInt8[Tensor, "b s s 3"]
    mask: UInt8[Tensor, "b s s"]
    factors: Float32[Tensor, "b 3"]
    ids: tuple[str, ...]


def make_batch(
    samples: Sequence[Triplet],
    *,
    augmentation: Augmentation | None = None,
    generator: torch.Generator | None = None,
    side_px: int = NETWORK_SIDE_PX,
    device: torch.device | str = "cpu",
) -> Batch:
    """Resize samples to one square size and augment them, by `prepare_batch` and `finish_batch`."""
    prepared = prepare_batch(samples, augmentation=augmentation, generator=generator, side_px=side_px)
    return finish_batch(prepared, device)


def prepare_batch(
    samples: Sequence[Triplet],
    *,
    augmentation: Augmentation | None = None,
    generator: torch.Generator | None = None,
    side_px: int = NETWORK_SIDE_PX,
) -> PreparedBatch:
    """Crop, mirror and resize samples in the process that read them.

    OpenCV's bicubic interpolation in whole numbers is that of torch in floats to one level of 255.

    Args:
        samples: samples of any sizes.
        augmentation: augmentation; None = none, for validation.
        generator: generator of the augmentation, which needs one.
        side_px: side of the square.

    Returns:
        The batch, in the order of the samples; image and flow resized by bicubic interpolation as published, masks by
        the nearest pixel.

    Raises:
        SegmentationError: there are no samples, or there is an augmentation without a generator.
    """
    if not samples:
        raise SegmentationError("a batch needs at least one sample")
    if augmentation is None:
        augmentation, drawn = Augmentation(flips="none"), torch.full((len(samples), 8), 0.5)
    elif generator is None:
        raise SegmentationError("augmentation needs an explicit torch.Generator")
    else:
        drawn = torch.rand(len(samples), 8, generator=generator)
    flips = (drawn[:, :2] < 0.5) & (augmentation.flips != "none")
    crops = _crops(samples, drawn[:, 2:5], augmentation)
    square = (side_px, side_px)
    image, colors = (np.empty((len(samples), *square, 3), np.uint8) for _ in range(2))
    mask = np.empty((len(samples), *square), np.uint8)
    for place, (sample, crop, (rows, columns)) in enumerate(zip(samples, crops, flips.tolist(), strict=True)):
        flip = Flip(rows, columns, augmentation.flips == "physical")
        pixels, is_object = sample.image[crop], sample.mask[crop]
        for source, out, way in (
            (pixels, image, cv2.INTER_CUBIC),
            (_colors_of(sample, crop, flip), colors, cv2.INTER_CUBIC),
            (is_object, mask, cv2.INTER_NEAREST_EXACT),
        ):
            cv2.resize(flip.mirror_pixels(source.numpy()), square, dst=out[place], interpolation=way)
    factors = 1 + augmentation.jitter * (2 * drawn[:, 5:] - 1)
    ids = tuple(sample.id for sample in samples)
    return PreparedBatch(torch.from_numpy(image), torch.from_numpy(colors), torch.from_numpy(mask), factors, ids)


def finish_batch(prepared: PreparedBatch, device: torch.device | str, spent: Batch | None = None) -> Batch:
    """Move a batch to the device as floats, channels last in memory, and apply the changes of colour.

    Args:
        prepared: batch of bytes.
        device: device of the network.
        spent: batch that is no longer needed. On a CPU its memory is reused if it is as large, because the first access
            to fresh memory takes longer than the work itself.
    """
    used = (None, None) if spent is None else (spent.image, spent.flow_rgb)
    image, flow_rgb = (
        _as_floats(pixels, torch.device(device), memory)
        for pixels, memory in zip((prepared.image, prepared.colors), used, strict=True)
    )
    if not bool((prepared.factors == 1).all()):
        _jitter(image, prepared.factors.to(device, non_blocking=True))
    return Batch(image, flow_rgb, prepared.mask.to(device, non_blocking=True))


def _as_floats(
    pixels: UInt8[Tensor, "b s s 3"], device: torch.device, memory: Float32[Tensor, "_ 3 _ _"] | None
) -> Float32[Tensor, "b 3 s s"]:
    if device.type != "cpu":
        return pixels.to(device, non_blocking=True).movedim(-1, 1).float().div_(255)
    if memory is not None and memory.movedim(1, -1).shape == pixels.shape:
        floats = memory.movedim(1, -1)
    else:
        floats = torch.from_numpy(np.empty(pixels.shape, np.float32))  # numpy asks for huge pages
    for place in range(len(pixels)):  # one picture at a time stays in the processor's cache
        floats[place].copy_(pixels[place]).div_(255)
    return floats.movedim(-1, 1)


class Flip(NamedTuple):
    """Axes along which one sample is mirrored, and whether its motion is mirrored with them."""

    rows: bool
    columns: bool
    is_physical: bool

    @property
    def axes(self) -> list[int]:
        """Array axes to mirror."""
        return [axis for axis, chosen in ((0, self.rows), (1, self.columns)) if chosen]

    def mirror_motion(self, flow_px: Float32[Tensor, "h w 2"]) -> Float32[Tensor, "h w 2"]:
        """Mirror the direction of the vectors; the caller mirrors their positions.

        In a mirrored scene, (u, v) becomes (-u, v) for a mirror left to right and (u, -v) for one top to bottom.
        """
        if not (self.is_physical and self.axes):
            return flow_px
        signs = torch.tensor([-1.0 if self.columns else 1.0, -1.0 if self.rows else 1.0])
        # One row at a time, because torch is slow along an axis of length two.
        return (flow_px.flatten(1) * signs.repeat(flow_px.shape[1])).view(flow_px.shape)

    def mirror_pixels(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Mirror a picture in the memory of the host."""
        if not self.axes:
            return pixels
        mirrored: NDArray[np.uint8] = cv2.flip(pixels, -1 if len(self.axes) == 2 else self.axes[0])
        return mirrored


def _colors_of(sample: Triplet, crop: tuple[slice, slice], flip: Flip) -> UInt8[Tensor, "rows columns 3"]:
    """Return the colours of the cropped flow with mirrored directions; the caller mirrors the pixels themselves."""
    if sample.flow_rgb is None:
        return flow_colors(flip.mirror_motion(sample.flow_px[_scaled(crop, sample.mask, sample.flow_px)]))
    colors = sample.flow_rgb[_scaled(crop, sample.mask, sample.flow_rgb)]
    if not (flip.is_physical and flip.axes):
        return colors
    field = rgb_to_flow(colors.numpy())
    relative = torch.from_numpy(np.where(field.valid[..., None], field.flow, np.float32(np.nan)))
    return flow_to_rgb(flip.mirror_motion(relative), 1.0)  # keeps the lengths of the picture


def _crops(
    samples: Sequence[Triplet], drawn: Float32[Tensor, "b 3"], augmentation: Augmentation
) -> list[tuple[slice, slice]]:
    """Return the rows and columns to keep of each sample: a randomly placed rectangle of the sample's aspect ratio."""
    crops = []
    for sample, (size, top, left) in zip(samples, drawn.tolist(), strict=True):
        scale = (1 - (1 - augmentation.smallest_crop) * size) ** 0.5
        height, width = sample.mask.shape
        rows, columns = max(1, round(scale * height)), max(1, round(scale * width))
        row, column = int(top * (height - rows + 1)), int(left * (width - columns + 1))
        crops.append((slice(row, row + rows), slice(column, column + columns)))
    return crops


def _scaled(crop: tuple[slice, slice], mask: Tensor, other: Tensor) -> tuple[slice, slice]:
    """Return the corresponding part of a picture of another size, since flow may be smaller than its image."""
    if other.shape[:2] == mask.shape:
        return crop
    rows, columns = (
        slice(start := min(round(part.start * to / of), to - 1), max(start + 1, round(part.stop * to / of)))
        for part, of, to in zip(crop, mask.shape, other.shape[:2], strict=True)
    )
    return rows, columns


def _jitter(image: Float32[Tensor, "b 3 h w"], factors: Float32[Tensor, "b 3"]) -> None:
    """Scale brightness, contrast about the mean grey, and saturation about each pixel's grey value; clip to [0, 1]."""
    brightness, contrast, saturation = factors[:, :, None, None, None].unbind(1)
    weights = torch.tensor(LUMA, device=image.device).view(1, 3, 1, 1)
    image.mul_(brightness).clamp_(0, 1)
    mean = (image * weights).sum(1, keepdim=True).mean((2, 3), keepdim=True)
    image.sub_(mean).mul_(contrast).add_(mean).clamp_(0, 1)
    grey = (image * weights).sum(1, keepdim=True)
    image.sub_(grey).mul_(saturation).add_(grey).clamp_(0, 1)
