"""Photos: any bytes in, an upright RGB image out, alone or together with its mask.

EXIF orientation is applied; grey and CMYK are converted; palettes are resolved; transparent pixels are laid over white,
as viewers show them; 16-bit samples keep their upper 8 bits; only the first frame of an animation is used.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.photos.image_files import (
    MIN_SIDE,
    is_deep,
    load_pixels,
    open_image,
    orientation_of,
    too_small,
    turned_upright,
    upper_byte,
    without_warnings,
)
from pipeline.photos.masks import decode_mask


def decode_photo(content: bytes, max_side: int | None = None) -> NDArray[np.uint8]:
    """Decode a photo, upright and no larger than `max_side`.

    Args:
        content: a file of one of `FORMATS`, up to `MAX_PIXELS`.
        max_side: longest side in px of the result; larger photos are shrunk by area averaging (JPEG files
            partly by their decoder), smaller ones keep their size. None: never shrink.

    Returns:
        RGB image, (h, w, 3) uint8, C-contiguous. Equal bytes and `max_side` give equal pixels.

    Raises:
        UnusablePhoto: `empty_file`, `not_an_image`, `truncated`, `damaged`, `too_large`, `too_small`,
            `unsupported_pixels`.
    """
    return _decode_upright(content, max_side)[0]


def decode_pair(
    photo: bytes,
    mask: bytes | None,
    max_side: int | None = None,
    *,
    decode: Callable[..., NDArray[np.uint8]] = decode_mask,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Decode a photo and its mask at one size; without a mask, every pixel is background.

    Args:
        photo: content of the photo's file.
        mask: content of the mask's file.
        max_side: as for `decode_photo`.
        decode: reads the mask: `decode_mask`, `decode_mask_levels` or `decode_labels`.

    Returns:
        The image, (h, w, 3), as `decode_photo` returns it, and the mask, (h, w), as `decode`
        returns it, or all 0 if `mask` is None.

    Raises:
        UnusablePhoto: as `decode_photo` and `decode`.
    """
    image, orientation = _decode_upright(photo, max_side)
    size = image.shape[0], image.shape[1]
    if mask is None:
        return image, np.zeros(size, np.uint8)
    return image, decode(mask, size, orientation=orientation)


def exif_orientation(content: bytes) -> int:
    """Read the EXIF orientation of a photo, 1 (upright) to 8; 1 if there is none or it cannot be read.

    Raises:
        UnusablePhoto: if the file's header cannot be read.
    """
    with without_warnings:
        return orientation_of(open_image(content))


def _decode_upright(content: bytes, max_side: int | None) -> tuple[NDArray[np.uint8], int]:
    if max_side is not None and max_side < MIN_SIDE:
        raise ValueError(f"max_side is {max_side} px; expected at least {MIN_SIDE}")
    with without_warnings:
        image = open_image(content)
        width, height = image.size
        scale = 1.0 if max_side is None else min(1.0, max_side / max(width, height))
        target = max(1, round(width * scale)), max(1, round(height * scale))
        if min(target) < MIN_SIDE:
            shrunk = "" if target == image.size else f" ({target[0]}x{target[1]} at --max-side {max_side})"
            raise too_small(image.size, shrunk)
        if target != image.size:
            image.draft(image.mode, target)  # JPEG: decode at 1/2, 1/4 or 1/8, still no smaller than the target
        pixels = load_pixels(image, _rgb)
        orientation = orientation_of(image)
    if pixels.shape[1::-1] != target:
        pixels = cv2.resize(pixels, target, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(turned_upright(pixels, orientation)), orientation


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    if is_deep(image):
        return np.repeat(upper_byte(image)[..., None], 3, axis=2)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
