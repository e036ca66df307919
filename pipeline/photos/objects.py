"""The objects of a photo that move on their own: the mask as one, or its connected parts."""

import numpy as np
from numpy.typing import NDArray

LARGEST_NUMBER_OF_OBJECTS = 8
# Smallest share of the picture's pixels for which a part of the mask is an object of its own.
_SMALLEST_SHARE = 0.005


def number_objects(mask: NDArray[np.uint8], separates_parts: bool) -> NDArray[np.uint8]:
    """Number the objects of a mask.

    Connected parts (8 neighbours) that are large enough are objects, the largest first. Every smaller part belongs to
    the object that is nearest to it. A mask without a large part is one object.

    Args:
        mask: (h, w), 0 = background, 255 = object.
        separates_parts: number the connected parts; if false, the whole mask is object 1.

    Returns:
        (h, w): 0 = background, 1, 2, ... = object, at most `LARGEST_NUMBER_OF_OBJECTS`.
    """
    is_object = (mask > 0).astype(np.uint8)
    if not separates_parts:
        return is_object
    import cv2

    count, parts, statistics, _ = cv2.connectedComponentsWithStats(is_object, connectivity=8)
    sizes = statistics[1:, cv2.CC_STAT_AREA]
    order = np.argsort(-sizes, kind="stable")[:LARGEST_NUMBER_OF_OBJECTS]
    large = [int(part) + 1 for part in order if sizes[part] >= _SMALLEST_SHARE * mask.size]
    if len(large) < 2:
        return is_object
    number_of_part = np.zeros(count, np.uint8)
    number_of_part[large] = np.arange(1, len(large) + 1)
    numbers: NDArray[np.uint8] = number_of_part[parts]
    if len(large) < count - 1:
        _, nearest = cv2.distanceTransformWithLabels(
            (numbers == 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        number_of_place = np.zeros(int(nearest.max()) + 1, np.uint8)
        number_of_place[nearest[numbers > 0]] = numbers[numbers > 0]
        numbers = np.where(is_object > 0, number_of_place[nearest], np.uint8(0))
    return numbers
