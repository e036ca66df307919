"""Completion of holes by the mirror image of their surroundings."""

from typing import Any

from flowsim.kernels.jit import compiled


def _point_at_known(known: Any, numbers: Any, places: Any, nearest: Any) -> None:
    """Turn the numbers of known pixels into their places.

    Args:
        known: (h,w) bool.
        numbers: (h,w) int32: the number of the known pixel that is nearest to each pixel; those of known pixels differ.
        places: (n,) int32, overwritten; as long as the largest number needs.
        nearest: (h,w) int32, written: row x w + column of the known pixel that is nearest to each pixel.
    """
    height, width = known.shape
    for y in range(height):
        for x in range(width):
            if known[y, x]:
                places[numbers[y, x]] = y * width + x
    for y in range(height):
        for x in range(width):
            nearest[y, x] = places[numbers[y, x]]


point_at_known = compiled(_point_at_known)


def _reflect(known: Any, nearest: Any, values: Any) -> None:
    """Give every unknown pixel the value of its mirror image, or else of the known pixel nearest to it.

    Args:
        known: (h,w) bool.
        nearest: (h,w) int32: row x w + column of the known pixel that is nearest to each pixel.
        values: (h,w,c), written where unknown.
    """
    height, width, channels = values.shape
    for y in range(height):
        for x in range(width):
            if known[y, x]:
                continue
            near_y, near_x = nearest[y, x] // width, nearest[y, x] % width
            row, column = 2 * near_y - y, 2 * near_x - x
            if row < 0 or row >= height or column < 0 or column >= width or not known[row, column]:
                row, column = near_y, near_x
            for channel in range(channels):
                values[y, x, channel] = values[row, column, channel]


reflect = compiled(_reflect)
