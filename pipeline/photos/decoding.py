"""Safe decoding of photos and masks: any bytes in, a checked array or `UnusablePhoto` out.

Photos become RGB uint8. EXIF orientation is applied; grey and CMYK are converted; palettes are resolved; transparent
pixels are laid over white, as viewers show them; 16-bit samples keep their upper 8 bits; animations count by their
first frame.

Masks become uint8 with 0 = background and 255 = object, nothing between: grey levels >= 128 are object (`decode_mask`).
"""

import io
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Callable
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from pipeline.errors import UnusablePhoto

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
MIN_SIDE = 16  # px after shrinking; in fewer rows or columns there is no room for motion
MAX_PIXELS = 160_000_000  # 480 MB as RGB: above every camera, below what takes a machine down
OBJECT_LEVEL = 128  # grey levels from here on are object
MAX_LABEL = 15  # a mask that never exceeds this holds object numbers (0, 1, 2, ...), not grey levels
COLOR_SPREAD = 48  # channels further apart than this: a mask of coloured labels, not of grey levels
COLOR_LABEL_LEVEL = 32  # the darkest colour of the DAVIS palette has 64; below 32 is the noise of lossy files

# What Pillow's decoders raise for damaged files. Most is OSError; the rest are slips of parsers on nonsense.
_DECODING_ERRORS = (
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
    MemoryError,  # decoders say so of impossible sizes; true sizes are checked before decoding
    Image.DecompressionBombError,
)
# EXIF orientation: (transpose rows and columns, then flip rows, then flip columns)
_ORIENTATIONS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


class _Silence:
    """Silences Python warnings while any thread is inside; Pillow warns of files that it then reads well.

    `warnings.catch_warnings` alone is not for threads: one that leaves would restore the filters of another.
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


_silence = _Silence()


def decode_photo(content: bytes, max_side: int | None = None) -> NDArray[np.uint8]:
    """Decode a photo, upright and no larger than asked.

    Args:
        content: a file of one of `FORMATS`, up to `MAX_PIXELS`.
        max_side: longest side in px of the result; larger photos are shrunk by area averaging (a JPEG already while it
            is decoded), smaller ones are left as they are. None: never shrink.

    Returns:
        RGB image, (h, w, 3) uint8, C-contiguous. Equal bytes and `max_side` give equal pixels.

    Raises:
        UnusablePhoto: `empty_file`, `not_an_image`, `truncated`, `damaged`, `too_large`, `too_small`,
            `unsupported_pixels`.
    """
    return _decode_upright(content, max_side)[0]


def decode_mask(content: bytes, size: tuple[int, int], *, orientation: int = 1) -> NDArray[np.uint8]:
    """Decode a photo's mask at the size of the decoded photo.

    What counts as object:
      - grey levels: >= `OBJECT_LEVEL`. 16-bit levels count by their upper 8 bits; alpha is ignored;
      - object numbers (no level above `MAX_LABEL` in a lossless file, such as 0/1): everything but 0;
      - colours, from a palette or three channels (as DAVIS-2017 has them): everything but black.

    Its sides must have the photo's proportions, up to 1 % and one pixel; it is then brought to `size`. The photo's EXIF
    orientation is the one doubt: a mask may have been drawn on the upright photo or on the pixels as the camera stored
    them. If the mask has the upright proportions, it is taken as upright; else, if it has those of the stored pixels,
    it is turned with the photo. (Where both agree, as in square photos or those turned by 180 degrees, upright it is.)

    Args:
        content: a file of one of `FORMATS`, up to `MAX_PIXELS`.
        size: height and width of the decoded photo, px.
        orientation: EXIF orientation of the photo, 1 to 8, from `exif_orientation`.

    Returns:
        (h, w) uint8, 0 = background, 255 = object, nothing between; both occur.

    Raises:
        UnusablePhoto: as for photos, with `mask_` before the code; `mask_size` for other proportions than the photo's;
            `mask_blank` for a mask of only background or only object: it bounds nothing, and mostly comes from
            a convention that was misread.
    """
    try:
        with _silence:
            image = _open(content)
            if min(image.size) < MIN_SIDE:
                raise _too_small(image.size, "")
            levels = _pixels(image, _mask_levels)
            levels = _turn(levels, _orientation(image))
    except UnusablePhoto as error:
        raise UnusablePhoto(f"mask_{error.reason}", f"mask: {error.sentence}") from error
    peak = int(levels.max())
    if not _proportions_agree(levels.shape, size):
        if not (_is_transposed(orientation) and _proportions_agree(levels.shape[::-1], size)):
            raise UnusablePhoto(
                "mask_size",
                f"the mask is {levels.shape[1]}x{levels.shape[0]}, the photo (after shrinking) {size[1]}x{size[0]}: "
                "other proportions, so it is not this photo's mask; expected the photo's size or a scaled one",
            )
        levels = _turn(levels, orientation)
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
    return is_object.astype(np.uint8) * np.uint8(255)


def decode_pair(
    photo: bytes, mask: bytes | None, max_side: int | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Decode a photo and its mask so that they lie on each other; without a mask all is background.

    Returns:
        image (h, w, 3) as of `decode_photo`, mask (h, w) as of `decode_mask`, all 0 if `mask` is None.

    Raises:
        UnusablePhoto: as `decode_photo` and `decode_mask`.
    """
    image, orientation = _decode_upright(photo, max_side)
    size = image.shape[0], image.shape[1]
    if mask is None:
        return image, np.zeros(size, np.uint8)
    return image, decode_mask(mask, size, orientation=orientation)


def exif_orientation(content: bytes) -> int:
    """Read the EXIF orientation of a photo, 1 (upright) to 8; 1 where there is none or it cannot be read.

    Raises:
        UnusablePhoto: if the file's header cannot be read.
    """
    with _silence:
        return _orientation(_open(content))


def _decode_upright(content: bytes, max_side: int | None) -> tuple[NDArray[np.uint8], int]:
    if max_side is not None and max_side < MIN_SIDE:
        raise ValueError(f"max_side is {max_side} px; expected at least {MIN_SIDE}")
    with _silence:
        image = _open(content)
        width, height = image.size
        scale = 1.0 if max_side is None else min(1.0, max_side / max(width, height))
        target = max(1, round(width * scale)), max(1, round(height * scale))
        if min(target) < MIN_SIDE:
            shrunk = "" if target == image.size else f" ({target[0]}x{target[1]} at --max-side {max_side})"
            raise _too_small(image.size, shrunk)
        if target != image.size:
            image.draft(image.mode, target)  # JPEG: decode at 1/2, 1/4 or 1/8, still no smaller than the target
        pixels = _pixels(image, _rgb)
        orientation = _orientation(image)
    if pixels.shape[1::-1] != target:
        pixels = cv2.resize(pixels, target, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(_turn(pixels, orientation)), orientation


def _open(content: bytes) -> Image.Image:
    """Read the header; no pixels are decoded yet."""
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
        found = re.search(r"\d+ pixels", str(error))  # the rest of Pillow's sentence names its own limit
        size = found[0] if found else "too many pixels"
        raise UnusablePhoto("too_large", f"the image has {size}; expected at most {MAX_PIXELS} pixels") from error
    except _DECODING_ERRORS as error:
        raise _damaged(error) from error
    if width * height > MAX_PIXELS:
        raise UnusablePhoto("too_large", f"the image is {width}x{height}; expected at most {MAX_PIXELS} pixels")
    return image


def _pixels(image: Image.Image, convert: Callable[[Image.Image], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Decode the pixels; here nearly all damage shows."""
    try:
        image.load()
        return convert(image)
    except _DECODING_ERRORS as error:
        raise _damaged(error) from error


def _too_small(size: tuple[int, int], remark: str) -> UnusablePhoto:
    sentence = f"the image is {size[0]}x{size[1]}{remark}; expected at least {MIN_SIDE} px on either side"
    return UnusablePhoto("too_small", sentence)


def _damaged(error: BaseException) -> UnusablePhoto:
    if "truncated" in str(error).lower():
        return UnusablePhoto("truncated", f"the file ends before the image does ({error}); fetch it again")
    return UnusablePhoto("damaged", f"the file cannot be decoded ({type(error).__name__}: {error})")


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    if _is_deep(image):
        return np.repeat(_upper_byte(image)[..., None], 3, axis=2)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _mask_levels(image: Image.Image) -> NDArray[np.uint8]:
    """Bring a mask of any pixel format to grey levels (h, w); labels and colours to 0 and 255."""
    if _is_deep(image):
        peak = int(np.asarray(image).max())
        levels = np.asarray(image).astype(np.uint8) if peak <= MAX_LABEL else _upper_byte(image)
    elif image.mode in ("1", "L", "LA"):
        levels = np.asarray(image.convert("L"))
    else:
        colors = np.asarray(image.convert("RGB"))
        levels = colors.max(axis=2)
        if int((levels - colors.min(axis=2)).max()) >= COLOR_SPREAD:
            return np.where(levels >= COLOR_LABEL_LEVEL, np.uint8(255), np.uint8(0))
    is_lossy = image.format in ("JPEG", "MPO", "WEBP")
    if levels.max() <= MAX_LABEL and not is_lossy:
        return np.where(levels > 0, np.uint8(255), np.uint8(0))
    return levels


def _is_deep(image: Image.Image) -> bool:
    """Whether grey samples have more than 8 bits (Pillow itself brings colours to 8 bits)."""
    if image.mode == "F":
        raise UnusablePhoto("unsupported_pixels", "its pixels are floating-point numbers; expected 8 or 16 bits")
    return image.mode.startswith("I")


def _upper_byte(image: Image.Image) -> NDArray[np.uint8]:
    samples = np.asarray(image)
    if samples.min() < 0 or samples.max() > 65535:
        raise UnusablePhoto("unsupported_pixels", "its grey levels do not fit into 16 bits; expected 8 or 16 bits")
    return (samples >> 8).astype(np.uint8)


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(ExifTags.Base.Orientation)
    except _DECODING_ERRORS:
        return 1  # damaged EXIF does not make the pixels worse
    return value if isinstance(value, int) and value in _ORIENTATIONS else 1


def _is_transposed(orientation: int) -> bool:
    return _ORIENTATIONS[orientation][0]


def _turn(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn stored pixels (h, w, ...) upright."""
    transposes, flips_rows, flips_columns = _ORIENTATIONS[orientation]
    if transposes:
        pixels = pixels.swapaxes(0, 1)
    return pixels[:: -1 if flips_rows else 1, :: -1 if flips_columns else 1]


def _proportions_agree(mask_size: tuple[int, ...], photo_size: tuple[int, ...]) -> bool:
    # |h_mask / w_mask - h / w| small, without division; one pixel more or less in either picture is rounding
    (rows, columns), (height, width) = mask_size, photo_size
    area = rows * width
    return abs(area - columns * height) <= 0.01 * area + max(rows, columns, height, width)
