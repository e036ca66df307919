"""Safe reading of image files: any bytes in, an opened image or `UnusablePhoto` out.

Photos and masks of photos, and masks of videos, are all opened, limited in size and decoded here; what their pixels
mean is decided by `pipeline.photos.decoding`, `pipeline.photos.masks` and `segmentation.videos.mask_files`.
"""

import io
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from pipeline.errors import UnusablePhoto

Pixels = TypeVar("Pixels")

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
MIN_SIDE = 16  # px after shrinking; an image with fewer rows or columns leaves no room for motion
MAX_PIXELS = 160_000_000  # 480 MB as RGB: larger than any camera's photo, small enough for the memory of a machine

# Exceptions of Pillow's decoders on damaged files. Most are OSErrors; the others are slips of parsers.
DECODING_ERRORS = (
    OSError,  # not an image, truncated, broken stream
    SyntaxError,  # PNG: broken chunk
    ValueError,  # text chunk too large, impossible tile, mode that cannot be converted
    EOFError,
    struct.error,
    zlib.error,
    ArithmeticError,  # a resolution of x/0, a size beyond C's integers
    LookupError,  # a tag or table that is not there
    TypeError,
    AttributeError,
    NotImplementedError,
    MemoryError,  # raised for impossible sizes; true sizes are checked before decoding
    Image.DecompressionBombError,
)
# EXIF orientation: (transpose rows and columns, then flip rows, then flip columns)
ORIENTATIONS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


class _WithoutWarnings:
    """Context without Python warnings, shared by threads; Pillow warns about files that it then reads well.

    `warnings.catch_warnings` is not safe for threads: a thread that leaves it restores the filters of another one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.simplefilter("ignore")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._filters.__exit__(None, None, None)


without_warnings = _WithoutWarnings()


def open_image(content: bytes) -> Image.Image:
    """Read the header of an image file; no pixels are decoded yet.

    Raises:
        UnusablePhoto: `empty_file`, `not_an_image`, `damaged` or `too_large`.
    """
    if not content:
        raise UnusablePhoto("empty_file", "the file is empty (0 bytes); expected an image")
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        width, height = image.size
    except UnidentifiedImageError as error:
        raise UnusablePhoto(
            "not_an_image", f"not an image: it begins with {content[:12]!r}; expected one of {', '.join(FORMATS)}"
        ) from error
    except Image.DecompressionBombError as error:
        found = re.search(r"\d+ pixels", str(error))  # the rest of Pillow's message names Pillow's own limit
        size = found[0] if found else "too many pixels"
        raise UnusablePhoto("too_large", f"the image has {size}; expected at most {MAX_PIXELS} pixels") from error
    except DECODING_ERRORS as error:
        raise damaged(error) from error
    if width * height > MAX_PIXELS:
        raise UnusablePhoto("too_large", f"the image is {width}x{height}; expected at most {MAX_PIXELS} pixels")
    return image


def load_pixels(image: Image.Image, convert: Callable[[Image.Image], Pixels]) -> Pixels:
    """Decode the pixels of an opened image; most kinds of damage show here.

    Args:
        image: from `open_image`.
        convert: turns the decoded image into what is returned.

    Raises:
        UnusablePhoto: `truncated` or `damaged`, or another reason from `convert`.
    """
    try:
        image.load()
        return convert(image)
    except DECODING_ERRORS as error:
        raise damaged(error) from error


def too_small(size: tuple[int, int], remark: str) -> UnusablePhoto:
    """Return the error of an image with too short a side."""
    sentence = f"the image is {size[0]}x{size[1]}{remark}; expected at least {MIN_SIDE} px on either side"
    return UnusablePhoto("too_small", sentence)


def damaged(error: BaseException) -> UnusablePhoto:
    """Return the error of a file whose pixels or header cannot be decoded."""
    if "truncated" in str(error).lower():
        return UnusablePhoto("truncated", f"the file ends before the image does ({error}); fetch it again")
    return UnusablePhoto("damaged", f"the file cannot be decoded ({type(error).__name__}: {error})")


def is_deep(image: Image.Image) -> bool:
    """Return whether grey levels have more than 8 bits; Pillow itself converts colours to 8 bits.

    Raises:
        UnusablePhoto: `unsupported_pixels` if they are floating-point numbers.
    """
    if image.mode == "F":
        raise UnusablePhoto("unsupported_pixels", "its pixels are floating-point numbers; expected 8 or 16 bits")
    return image.mode.startswith("I")


def upper_byte(image: Image.Image) -> NDArray[np.uint8]:
    """Return the upper 8 bits of 16-bit grey levels.

    Raises:
        UnusablePhoto: `unsupported_pixels` if there are other levels.
    """
    samples = np.asarray(image)
    if samples.min() < 0 or samples.max() > 65535:
        raise UnusablePhoto("unsupported_pixels", "its grey levels do not fit into 16 bits; expected 8 or 16 bits")
    return (samples >> 8).astype(np.uint8)


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation of an opened image, 1 (upright) to 8; 1 if there is none or it cannot be read."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation)
    except DECODING_ERRORS:
        return 1  # damaged EXIF leaves the pixels usable
    return value if isinstance(value, int) and value in ORIENTATIONS else 1


def is_transposed(orientation: int) -> bool:
    """Return whether an orientation swaps rows and columns."""
    return ORIENTATIONS[orientation][0]


def turned_upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Return stored pixels (h, w, ...) as they are seen upright."""
    transposes, flips_rows, flips_columns = ORIENTATIONS[orientation]
    if transposes:
        pixels = pixels.swapaxes(0, 1)
    return pixels[:: -1 if flips_rows else 1, :: -1 if flips_columns else 1]
