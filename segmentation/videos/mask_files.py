"""Mask files of any common kind, read as object and background.

The meaning of pixel values differs between datasets and between predictions: 0/255, 0/1, palette indices, soft grey
levels, coloured regions. A file is read into `Levels`, which holds everything that follows from the file alone; a
`Convention` decides which values are object.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from pipeline.errors import UnusablePhoto
from pipeline.files.regular_files import read_file
from pipeline.photos.image_files import is_deep, load_pixels, open_image, upper_byte, without_warnings
from pipeline.photos.masks import MAX_LABEL, OBJECT_LEVEL
from segmentation.errors import MaskError

WHITE = 255
EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".pgm", ".ppm", ".pbm", ".bmp", ".gif", ".tif", ".tiff", ".webp"})
# PNG: 8-bit grey, not interlaced, complete to its last chunk; OpenCV decodes these twice as fast as Pillow.
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_GREY = b"\x08\x00\x00\x00\x00"
_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"


@dataclass(frozen=True, slots=True)
class Levels:
    """A decoded mask file.

    Attributes:
        values: (h, w) uint8 grey levels, or numbers of colours where `colors` is given.
        colors: (n, 3) uint8 RGB colour of each number, for files with a palette or with coloured pixels; numbers have
            no order, but 0 is background.
    """

    values: UInt8[np.ndarray, "h w"]
    colors: UInt8[np.ndarray, "n 3"] | None = None


Convention = Callable[[Levels, Path], Bool[np.ndarray, "h w"]]


def read_levels(path: Path) -> Levels:
    """Read a mask file.

    Grey files give their levels (16-bit ones the upper 8 bits; alpha is ignored), black-and-white ones 0 and 255, files
    with a palette their indices unless the palette is grey, coloured ones the number of the colour: 0 for black, the
    others in order of value.

    Raises:
        MaskError: the file is missing, no image, damaged, a coloured photo, or holds floating-point numbers.
    """
    try:
        content = read_file(path)
    except OSError as error:
        raise MaskError(f"the mask {path} cannot be read: {error.strerror or error}") from error
    if content[:8] == _PNG_SIGNATURE and content[24:29] == _PNG_GREY and content.endswith(_PNG_END):
        values = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        if values is not None and values.ndim == 2 and values.dtype == np.uint8:
            return Levels(values)
    try:
        with without_warnings:
            return load_pixels(open_image(content), _levels)
    except UnusablePhoto as error:
        raise MaskError(f"the mask {path} cannot be used: {error}") from error


def as_grey(levels: Levels, path: Path) -> Bool[np.ndarray, "h w"]:
    """Read one object given by grey levels >= 128, or as the one number in a file of 0 and that number.

    Raises:
        MaskError: the mask holds several objects.
    """
    numbers = labels_of(levels.values)
    if len(numbers) > 1 and (levels.colors is not None or numbers[-1] <= MAX_LABEL):
        raise MaskError(
            f"the mask {path} holds the labels 0, {', '.join(map(str, numbers))}: several objects; expected one object"
        )
    return as_grey_or_labels(levels, path)


def as_grey_or_labels(levels: Levels, path: Path) -> Bool[np.ndarray, "h w"]:
    """Read grey levels >= 128 as object, or all object numbers except 0; several objects are united."""
    if levels.colors is None and levels.values.max(initial=0) > MAX_LABEL:
        return levels.values >= OBJECT_LEVEL
    return levels.values > 0


def as_binary_or_labels(levels: Levels, path: Path) -> Bool[np.ndarray, "h w"]:
    """Read object numbers, or grey levels if these are only 0 and 255.

    Raises:
        MaskError: there are other grey levels.
    """
    refuse_soft(levels, path)
    return as_grey_or_labels(levels, path)


def as_labels(levels: Levels, path: Path) -> Bool[np.ndarray, "h w"]:
    """Read everything that is not 0 as object; all objects of a label image are united."""
    return levels.values > 0


def refuse_soft(levels: Levels, path: Path) -> None:
    """Raise unless a mask holds object numbers, or no grey levels but 0 and 255.

    Raises:
        MaskError: there are other grey levels.
    """
    odd = [value for value in labels_of(levels.values) if value != WHITE]
    if levels.colors is None and odd and max(odd[-1], levels.values.max()) > MAX_LABEL:
        shown = ", ".join(map(str, odd[:3])) + (", ..." if len(odd) > 3 else "")
        raise MaskError(f"the mask {path} has grey levels between background and object ({shown}); expected 0 and 255")


def labels_of(values: UInt8[np.ndarray, "h w"]) -> list[int]:
    """Return the values other than 0 that occur in a mask, in order."""
    return [int(value) for value in np.flatnonzero(np.bincount(values.ravel(), minlength=1)) if value]


def _levels(image: Image.Image) -> Levels:
    if image.mode == "P":
        return _palette_levels(image)
    if image.mode in ("1", "L", "LA", "La"):
        return Levels(np.array(image.convert("L")))
    if is_deep(image):
        upper, samples = upper_byte(image), np.asarray(image)
        has_small_values = samples.max() <= MAX_LABEL or not set(np.unique(samples)) - {0, WHITE}
        return Levels(samples.astype(np.uint8) if has_small_values else upper)
    return _color_levels(image)


def _palette_levels(image: Image.Image) -> Levels:
    indices = np.array(image)
    palette = np.zeros((256, 3), np.uint8)
    given = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    palette[: len(given)] = given
    used = palette[np.bincount(indices.ravel(), minlength=256) > 0]
    is_grey = bool((used == used[:, :1]).all())
    # Some tools write object numbers with an almost black grey palette: then the numbers count, not the colours.
    if is_grey and (used.max() > MAX_LABEL or not indices.any()):
        return Levels(palette[:, 0][indices])
    return Levels(indices, palette)


def _color_levels(image: Image.Image) -> Levels:
    pixels = np.array(image.convert("RGB"))
    if (pixels == pixels[..., :1]).all():
        return Levels(np.ascontiguousarray(pixels[..., 0]))
    codes = pixels.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    found, numbers = np.unique(codes, return_inverse=True)
    if len(found) > MAX_LABEL + 1:
        raise UnusablePhoto("many_colors", f"it is a coloured picture of {len(found)} colours; expected a mask")
    if found[0] != 0:  # black is background, and number 0 even where it does not occur
        found, numbers = np.concatenate([[0], found]), numbers + 1
    colors = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1).astype(np.uint8)
    return Levels(numbers.reshape(codes.shape).astype(np.uint8), colors)
