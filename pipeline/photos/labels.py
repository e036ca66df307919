"""Label images: the objects of a photo as numbers, read from palette, 8-bit, 16-bit and coloured files."""

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import UnusablePhoto
from pipeline.photos.image_files import is_deep, upper_byte
from pipeline.photos.masks import LOSSY_FORMATS, decode_annotation, fit_to_photo
from pipeline.photos.objects import LARGEST_NUMBER_OF_OBJECTS

VOID = 255  # in palettes and 8-bit numbers: pixels that the annotators left undecided
MOST_OBJECTS = 150  # a file with more numbers has grey levels
# Border levels of a grey mask and levels of a photo are rarely equal to all four neighbours; object numbers mostly are.
_SMALLEST_INSIDE = 0.5


def decode_labels(content: bytes, size: tuple[int, int], *, orientation: int = 1) -> NDArray[np.uint8]:
    """Decode a label image at the size of the decoded photo.

    Object numbers are:
      - indices of a palette, as DAVIS-2017 and YouTube-VOS have them, and 8-bit levels; 255 is void, thus background;
      - 16-bit levels, without void;
      - colours, as in panoptic COCO: every colour but black is an object. Alpha is ignored.

    0 and black are background. Numbers may have gaps: objects are numbered anew in rising order. Only the
    `LARGEST_NUMBER_OF_OBJECTS` largest are kept, and the others are background. Pixels are never mixed: the image is
    resized to the nearest pixel. Proportions and orientation are those of `decode_mask_levels`.

    Args:
        content: a file of one of `FORMATS`, up to `MAX_PIXELS`.
        size: height and width of the decoded photo, px.
        orientation: EXIF orientation of the photo, 1 to 8.

    Returns:
        (h, w) uint8, 0 = background, 1, 2, ... = object; background and object 1 both occur.

    Raises:
        UnusablePhoto: as `decode_mask_levels`; `mask_blank` also if every object is too small to be left at this size,
            and `mask_not_labels` for lossy files and for grey levels.
    """
    labels = _numbered(fit_to_photo(decode_annotation(content, _labels), size, orientation))
    if labels.shape != size:
        labels = _numbered(cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT))
    areas = np.bincount(labels.ravel(), minlength=1)[1:]
    if len(areas) > LARGEST_NUMBER_OF_OBJECTS:
        smaller = np.argsort(-areas, kind="stable")[LARGEST_NUMBER_OF_OBJECTS:] + 1
        labels = _numbered(np.where(np.isin(labels, smaller), np.uint8(0), labels))
    if labels.all() or not labels.any():
        found = "object" if labels.any() else "background"
        raise UnusablePhoto(
            "mask_blank",
            f"the label image is all {found} at {size[1]}x{size[0]}; expected both. 0, black and, in 8-bit files, 255 "
            "are background. A mask of 0 and 255 needs --objects mask or components",
        )
    return labels


def _labels(image: Image.Image) -> NDArray[np.uint8]:
    """Convert a label image to numbers without gaps (h, w), 0 = background."""
    if image.format in LOSSY_FORMATS:
        raise _not_labels(f"{image.format} files change the numbers that they store")
    numbers, is_void = _numbers(image)
    is_object = (numbers > 0) & ~is_void
    count = len(np.unique(numbers[is_object]))
    if count > MOST_OBJECTS:
        raise _not_labels(f"it has {count} different levels, more than {MOST_OBJECTS}")
    is_suspect = count > LARGEST_NUMBER_OF_OBJECTS or is_void.sum() > is_object.sum()
    if is_suspect and is_object.any() and _inside_share(numbers, is_object) < _SMALLEST_INSIDE:
        raise _not_labels(f"most pixels of its {count} different levels differ from a neighbour, as in grey borders")
    return _numbered(np.where(is_object, numbers, 0))


def _numbers(image: Image.Image) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the object numbers (h, w) of a file, and which pixels are void."""
    if is_deep(image):
        upper_byte(image)  # refuses numbers beyond 16 bits
        numbers = np.asarray(image).astype(np.int64)
        return numbers, np.zeros(numbers.shape, np.bool_)
    if image.mode in ("1", "L", "LA", "P"):
        numbers = np.asarray(image.getchannel("L") if image.mode == "LA" else image).astype(np.int64)
        return numbers, numbers == VOID
    colors = np.asarray(image.convert("RGB")).astype(np.int64)
    if (colors == colors[..., :1]).all():  # grey: a file of 8-bit numbers with three channels
        return colors[..., 0], colors[..., 0] == VOID
    numbers = colors @ np.array([1, 1 << 8, 1 << 16])  # as panoptic COCO numbers its colours
    return numbers, np.zeros(numbers.shape, np.bool_)


def _inside_share(numbers: NDArray[np.int64], is_object: NDArray[np.bool_]) -> float:
    """Return the share of object pixels that are equal to their four neighbours."""
    padded = np.pad(numbers, 1, mode="edge")
    middle = padded[1:-1, 1:-1]
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    is_inside = np.logical_and.reduce([middle == neighbour for neighbour in neighbours])
    return float(is_inside[is_object].mean())


def _numbered(numbers: NDArray[np.int64] | NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Number objects anew in rising order, without gaps; 0 stays 0."""
    known = np.unique(numbers)
    return (np.searchsorted(known, numbers) + int(known[0] != 0)).astype(np.uint8)


def _not_labels(cause: str) -> UnusablePhoto:
    return UnusablePhoto(
        "not_labels",
        f"not a label image: {cause}; expected a PNG with one number or colour for each object. For grey or "
        "black-and-white masks use --objects mask or components",
    )
