"""Masks of photos: any bytes in, 0 = background and 255 = object out, at the size of the decoded photo."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import UnusablePhoto
from pipeline.photos.image_files import (
    MIN_SIDE,
    is_deep,
    is_transposed,
    load_pixels,
    open_image,
    orientation_of,
    too_small,
    turned_upright,
    upper_byte,
    without_warnings,
)

OBJECT_LEVEL = 128  # grey levels from here on are object
MAX_LABEL = 15  # a file without a higher value holds object numbers (0, 1, 2, ...), not grey levels
LOSSY_FORMATS = ("JPEG", "MPO", "WEBP")
COLOR_SPREAD = 48  # if the channels of a pixel differ by this much, the mask has coloured labels, not grey levels
COLOR_LABEL_LEVEL = 32  # the darkest colour of the DAVIS palette has 64; lower levels are noise of lossy files


def decode_mask(content: bytes, size: tuple[int, int], *, orientation: int = 1) -> NDArray[np.uint8]:
    """Decode a photo's mask at the size of the decoded photo: 0 = background, 255 = object, nothing between.

    Arguments and errors are those of `decode_mask_levels`.
    """
    levels = decode_mask_levels(content, size, orientation=orientation)
    return np.where(levels >= OBJECT_LEVEL, np.uint8(255), np.uint8(0))


def decode_mask_levels(content: bytes, size: tuple[int, int], *, orientation: int = 1) -> NDArray[np.uint8]:
    """Decode a photo's mask at the size of the decoded photo, with grey borders where it has them.

    Object pixels are:
      - grey levels: >= `OBJECT_LEVEL`. 16-bit levels count by their upper 8 bits; alpha is ignored;
      - object numbers (no level above `MAX_LABEL` in a lossless file, such as 0/1): everything but 0;
      - colours, from a palette or three channels (as DAVIS-2017 has them): everything but black.

    The sides of the mask must have the photo's proportions, up to 1 % and one pixel; it is then resized to `size`.
    The photo's EXIF orientation leaves a doubt: a mask may have been drawn on the upright photo or on the pixels as the
    camera stored them. A mask with the upright proportions is taken as upright; otherwise, one with the proportions of
    the stored pixels is turned with the photo. If both agree, as for square photos, it is taken as upright.

    Args:
        content: a file of one of `FORMATS`, up to `MAX_PIXELS`.
        size: height and width of the decoded photo, px.
        orientation: EXIF orientation of the photo, 1 to 8, from `exif_orientation`.

    Returns:
        (h, w) uint8, object from `OBJECT_LEVEL` on; object and background both occur.

    Raises:
        UnusablePhoto: as for photos, with `mask_` before the code; `mask_size` for other proportions than the photo's;
            `mask_blank` for a mask of only background or only object, which usually means that its
            convention was misread.
    """
    levels = decode_annotation(content, _mask_levels)
    peak = int(levels.max())
    levels = fit_to_photo(levels, size, orientation)
    if levels.shape != size:
        enlarges = levels.shape[0] < size[0] or levels.shape[1] < size[1]
        levels = cv2.resize(levels, size[::-1], interpolation=cv2.INTER_LINEAR if enlarges else cv2.INTER_AREA)
    is_object = levels >= OBJECT_LEVEL
    if is_object.all() or not is_object.any():
        found = "object" if is_object.any() else "background"
        raise UnusablePhoto(
            "mask_blank",
            f"the mask is all {found} at {size[1]}x{size[0]} (its brightest level is {peak}); expected both: grey "
            f"levels from {OBJECT_LEVEL} on are object; so is 1 of 0/1, and any colour on black",
        )
    return levels


def decode_annotation(content: bytes, convert: Callable[[Image.Image], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Decode the picture that belongs to a photo, upright by its own EXIF orientation.

    Args:
        content: the file.
        convert: turns the decoded image into one number per pixel.

    Raises:
        UnusablePhoto: as for photos, with `mask_` before the code.
    """
    try:
        with without_warnings:
            image = open_image(content)
            if min(image.size) < MIN_SIDE:
                raise too_small(image.size, "")
            levels = load_pixels(image, convert)
            return turned_upright(levels, orientation_of(image))
    except UnusablePhoto as error:
        raise UnusablePhoto(f"mask_{error.reason}", f"mask: {error.sentence}") from error


def fit_to_photo(levels: NDArray[np.uint8], size: tuple[int, int], orientation: int) -> NDArray[np.uint8]:
    """Turn the picture that belongs to a photo as the photo was turned, if only then their proportions agree.

    Raises:
        UnusablePhoto: `mask_size` if they never do.
    """
    if not _proportions_agree(levels.shape, size):
        if not (is_transposed(orientation) and _proportions_agree(levels.shape[::-1], size)):
            raise UnusablePhoto(
                "mask_size",
                f"the mask is {levels.shape[1]}x{levels.shape[0]}, the photo (after shrinking) {size[1]}x{size[0]}: "
                "other proportions, so it is not this photo's mask; expected the photo's size or a scaled one",
            )
        return turned_upright(levels, orientation)
    return levels


def _mask_levels(image: Image.Image) -> NDArray[np.uint8]:
    """Convert a mask of any pixel format to grey levels (h, w); labels and colours become 0 and 255."""
    if is_deep(image):
        peak = int(np.asarray(image).max())
        levels = np.asarray(image).astype(np.uint8) if peak <= MAX_LABEL else upper_byte(image)
    elif image.mode in ("1", "L", "LA"):
        levels = np.asarray(image.convert("L"))
    else:
        colors = np.asarray(image.convert("RGB"))
        levels = colors.max(axis=2)
        if int((levels - colors.min(axis=2)).max()) >= COLOR_SPREAD:
            return np.where(levels >= COLOR_LABEL_LEVEL, np.uint8(255), np.uint8(0))
    is_lossy = image.format in LOSSY_FORMATS
    if levels.max() <= MAX_LABEL and not is_lossy:
        return np.where(levels > 0, np.uint8(255), np.uint8(0))
    return levels


def _proportions_agree(mask_size: tuple[int, ...], photo_size: tuple[int, ...]) -> bool:
    # |h_mask / w_mask - h / w| small, without division; one pixel more or less in either picture is rounding
    (rows, columns), (height, width) = mask_size, photo_size
    area = rows * width
    return abs(area - columns * height) <= 0.01 * area + max(rows, columns, height, width)
