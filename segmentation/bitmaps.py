"""Binary masks, 64 pixels a word: boundaries, dilation by a disk, counts.

A bitmap is (h, words) uint64; column x of a row is bit x % 64 of word x // 64, and bits beyond the last column are 0.
A whole 480p mask then takes 54 kB instead of 410, stays in the cache, and one instruction works on 64 pixels or more.
"""

import math

import numpy as np
from jaxtyping import Bool, UInt64

Bitmap = UInt64[np.ndarray, "h words"]

_WORD = 64


def pack(mask: Bool[np.ndarray, "h w"]) -> Bitmap:
    """Pack a mask.

    Args:
        mask: (h, w) bool, True = object.

    Returns:
        The mask as a bitmap, (h, ceil(w / 64)).
    """
    height, width = mask.shape
    packed = np.packbits(mask, axis=1, bitorder="little")
    rows = np.zeros((height, -(-width // _WORD) * 8), np.uint8)
    rows[:, : packed.shape[1]] = packed
    words: Bitmap = rows.view("<u8").astype(np.uint64, copy=False)
    return words


def count(bitmap: Bitmap) -> int:
    """Count the pixels that are set."""
    return int(np.bitwise_count(bitmap).sum(dtype=np.int64))


def boundary(bitmap: Bitmap, width: int) -> Bitmap:
    """Mark the upper left pixel of every 2 x 2 block that is not of one value.

    This is `seg2bmap` of the Berkeley segmentation benchmark (Martin, 2003), which DAVIS uses. Blocks that reach over
    the lower or right edge continue the last row or column.

    Args:
        bitmap: object.
        width: columns of the mask; bits beyond are ignored.

    Returns:
        Boundary pixels, of the same shape.
    """
    # Four pixels a b / c d are not all equal <=> a != b or a != c or c != d.
    flat = bitmap.ravel()
    right = flat >> np.uint64(1)
    right[:-1] |= flat[1:] << np.uint64(_WORD - 1)
    across = (flat ^ right).reshape(bitmap.shape)
    across &= _columns(width - 1, bitmap.shape[1])
    found: Bitmap = across.copy()
    found[:-1] |= bitmap[:-1] ^ bitmap[1:]
    found[:-1] |= across[1:]
    return found


def dilate(bitmap: Bitmap, radius: int) -> Bitmap:
    """Set every pixel that has a set pixel at most `radius` px away (Euclidean distance).

    Bits beyond the last column may be set as well.

    Args:
        bitmap: any pixels.
        radius: px, at least 0.

    Returns:
        The dilated bitmap, of the same shape.
    """
    height, words = bitmap.shape
    # Zero words right of every row and zero rows around keep what is shifted over an edge from coming back elsewhere.
    guard = -(-radius // _WORD)
    spread = np.zeros((height + 2 * radius, words + guard), np.uint64)
    spread[radius : radius + height, :words] = bitmap
    flat, shifted, carried = spread.ravel(), np.empty(spread.size, np.uint64), np.empty(spread.size, np.uint64)
    dilated = np.zeros((height, words + guard), np.uint64)
    reach = 0
    for rows_off in range(radius, -1, -1):
        # The disk's row at this distance from the centre is a run of 2 * half_width + 1 pixels.
        half_width = math.isqrt(radius * radius - rows_off * rows_off)
        while reach < half_width:
            step = min(half_width - reach, 2 * reach + 1, _WORD - 1)
            _spread_along_rows(flat, step, shifted, carried)
            reach += step
        dilated |= spread[radius + rows_off : radius + rows_off + height]
        dilated |= spread[radius - rows_off : radius - rows_off + height]
    return dilated[:, :words]


def bounding_words(bitmap: Bitmap) -> tuple[slice, slice]:
    """Return the rows and the words that hold all set pixels; empty slices if there are none."""
    rows = np.flatnonzero(bitmap.any(axis=1))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    words = np.flatnonzero(bitmap[rows[0] : rows[-1] + 1].any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(words[0]), int(words[-1]) + 1)


def _spread_along_rows(
    flat: UInt64[np.ndarray, " words"],
    step: int,
    shifted: UInt64[np.ndarray, " words"],
    carried: UInt64[np.ndarray, " words"],
) -> None:
    """Set in place what lies `step` < 64 px left or right of a set pixel; the other two arrays are room to work in."""
    near, far = np.uint64(step), np.uint64(_WORD - step)
    np.left_shift(flat, near, out=shifted)
    np.right_shift(flat, far, out=carried)
    shifted[1:] |= carried[:-1]
    np.left_shift(flat, far, out=carried)
    flat_right = flat >> near
    flat_right[:-1] |= carried[1:]
    flat |= shifted
    flat |= flat_right


def _columns(width: int, words: int) -> UInt64[np.ndarray, " words"]:
    """Return one row with the first `width` bits set."""
    bits = np.clip(width - _WORD * np.arange(words), 0, _WORD)
    return np.array([(1 << int(n)) - 1 for n in bits], np.uint64)
