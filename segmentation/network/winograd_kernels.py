"""Winograd's transforms, the loops for the CPU. Imports numba, so the module that calls it imports it late.

The maps of a batch are cut into blocks of 4x4 pixels, which are numbered over samples, rows and columns. Each loop does
a range of blocks of a range of channels. For every channel the 36 transformed values of `TILES` blocks lie in memory
one after the other: (c, 36 * TILES). Distances in memory that the compiler knows are what lets it vectorise the loops.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flowsim.kernels.jit import compiled

TILES = 512
"""Number of blocks that are transformed before they are multiplied."""
_COLUMNS = 64
"""Largest number of blocks of a row that are transformed at once, in the processor's nearest cache."""
_LINE = 4 * _COLUMNS + 8
_PHASE = _COLUMNS + 8
_2, _4, _5, _8 = (np.float32(number) for number in (2, 4, 5, 8))


def _copy_line(pixels: Any, left: Any, line: Any, count: Any) -> None:
    """Copy `count` pixels of a row from column `left`; beyond both ends there is zero."""
    skipped = max(0, -left)
    end = max(skipped, min(count, len(pixels) - left))
    for x in range(skipped):
        line[x] = 0
    source, target, rest = pixels[left + skipped :], line[skipped:], line[end:]
    for x in range(end - skipped):
        target[x] = source[x]
    for x in range(count - end):
        rest[x] = 0


def _separate(line: Any, phases: Any, count: Any) -> None:
    """Put every fourth pixel side by side."""
    for x in range(count):
        phases[x] = line[4 * x]
        phases[x + _PHASE] = line[4 * x + 1]
        phases[x + 2 * _PHASE] = line[4 * x + 2]
        phases[x + 3 * _PHASE] = line[4 * x + 3]


def _windows_down(pixels: Any, down: Any, count: Any) -> None:
    """Multiply six rows by B^T."""
    for x in range(count):
        d0, d1, d2 = pixels[x], pixels[x + _LINE], pixels[x + 2 * _LINE]
        d3, d4, d5 = pixels[x + 3 * _LINE], pixels[x + 4 * _LINE], pixels[x + 5 * _LINE]
        a, b, c, e = d4 - _4 * d2, d3 - _4 * d1, d4 - d2, _2 * (d3 - d1)
        down[x] = _4 * d0 - _5 * d2 + d4
        down[x + _LINE] = a + b
        down[x + 2 * _LINE] = a - b
        down[x + 3 * _LINE] = c + e
        down[x + 4 * _LINE] = c - e
        down[x + 5 * _LINE] = _4 * d1 - _5 * d3 + d5


def _windows_across(phases: Any, tiles: Any, count: Any) -> None:
    """Multiply six columns by B."""
    for x in range(count):
        d0, d1, d2 = phases[x], phases[x + _PHASE], phases[x + 2 * _PHASE]
        d3, d4, d5 = phases[x + 3 * _PHASE], phases[x + 1], phases[x + 1 + _PHASE]
        a, b, c, e = d4 - _4 * d2, d3 - _4 * d1, d4 - d2, _2 * (d3 - d1)
        tiles[x] = _4 * d0 - _5 * d2 + d4
        tiles[x + TILES] = a + b
        tiles[x + 2 * TILES] = a - b
        tiles[x + 3 * TILES] = c + e
        tiles[x + 4 * TILES] = c - e
        tiles[x + 5 * TILES] = _4 * d1 - _5 * d3 + d5


def _gradients_down(pixels: Any, down: Any, count: Any) -> None:
    """Multiply four rows by A."""
    for x in range(count):
        g0, g1, g2, g3 = pixels[x], pixels[x + _LINE], pixels[x + 2 * _LINE], pixels[x + 3 * _LINE]
        a, b, c, e = g0 + g2, g1 + g3, g0 + _4 * g2, _2 * g1 + _8 * g3
        down[x] = g0
        down[x + _LINE] = a + b
        down[x + 2 * _LINE] = a - b
        down[x + 3 * _LINE] = c + e
        down[x + 4 * _LINE] = c - e
        down[x + 5 * _LINE] = g3


def _gradients_across(phases: Any, tiles: Any, count: Any) -> None:
    """Multiply four columns by A^T."""
    for x in range(count):
        g0, g1, g2, g3 = phases[x], phases[x + _PHASE], phases[x + 2 * _PHASE], phases[x + 3 * _PHASE]
        a, b, c, e = g0 + g2, g1 + g3, g0 + _4 * g2, _2 * g1 + _8 * g3
        tiles[x] = g0
        tiles[x + TILES] = a + b
        tiles[x + 2 * TILES] = a - b
        tiles[x + 3 * TILES] = c + e
        tiles[x + 4 * TILES] = c - e
        tiles[x + 5 * TILES] = g3


def _outputs_down(products: Any, down: Any, count: Any) -> None:
    """Multiply six rows by A^T, for each of six columns."""
    for column in range(6):
        source, target = products[column * TILES :], down[column * _PHASE :]
        for x in range(count):
            p0, p1, p2 = source[x], source[x + 6 * TILES], source[x + 12 * TILES]
            p3, p4, p5 = source[x + 18 * TILES], source[x + 24 * TILES], source[x + 30 * TILES]
            a, b, c, e = p1 + p2, p1 - p2, p3 + p4, p3 - p4
            target[x] = p0 + a + c
            target[x + 6 * _PHASE] = b + _2 * e
            target[x + 12 * _PHASE] = a + _4 * c
            target[x + 18 * _PHASE] = b + _8 * e + p5


def _outputs_across(down: Any, line: Any, bias: Any, count: Any) -> None:
    """Multiply six columns by A, add the bias, and put the pixels of a row in order."""
    for x in range(count):
        p0, p1, p2 = down[x], down[x + _PHASE], down[x + 2 * _PHASE]
        p3, p4, p5 = down[x + 3 * _PHASE], down[x + 4 * _PHASE], down[x + 5 * _PHASE]
        a, b, c, e = p1 + p2, p1 - p2, p3 + p4, p3 - p4
        line[4 * x] = p0 + a + c + bias
        line[4 * x + 1] = b + _2 * e + bias
        line[4 * x + 2] = a + _4 * c + bias
        line[4 * x + 3] = b + _8 * e + p5 + bias


copy_line, separate = compiled(_copy_line), compiled(_separate)
windows_down, windows_across = compiled(_windows_down), compiled(_windows_across)
gradients_down, gradients_across = compiled(_gradients_down), compiled(_gradients_across)
outputs_down, outputs_across = compiled(_outputs_down), compiled(_outputs_across)


def _cut_windows(maps: Any, begin: Any, count: Any, tiles: Any, first: Any, last: Any) -> None:
    """Transform the overlapping 6x6 windows of blocks begin..begin+count-1: B^T window B.

    Windows start one pixel above and left of their block; beyond the borders there is zero.

    Args:
        maps: (b,c,h,w) float32.
        begin, count: range of blocks.
        tiles: (c, 36 * TILES) float32, written.
        first, last: range of channels.
    """
    height, width = maps.shape[2:]
    rows, columns = (height + 3) // 4, (width + 3) // 4
    pixels, down = np.empty(6 * _LINE, np.float32), np.empty(6 * _LINE, np.float32)
    phases = np.empty(4 * _PHASE, np.float32)
    for channel in range(first, last):
        done = 0
        while done < count:
            row, column = (begin + done) // columns, (begin + done) % columns
            across = min(columns - column, count - done, _COLUMNS)
            for i in range(6):
                y = 4 * (row % rows) - 1 + i
                line = pixels[i * _LINE : (i + 1) * _LINE]
                if 0 <= y < height:
                    copy_line(maps[row // rows, channel, y], 4 * column - 1, line, 4 * across + 2)
                else:
                    line[: 4 * across + 2] = 0
            windows_down(pixels, down, 4 * across + 2)
            for i in range(6):
                separate(down[i * _LINE :], phases, across + 1)
                windows_across(phases, tiles[channel, 6 * i * TILES + done :], across)
            done += across


def _spread_blocks(maps: Any, begin: Any, count: Any, tiles: Any, first: Any, last: Any) -> None:
    """Transform the gradients of blocks begin..begin+count-1: A block A^T; the arguments are those of `cut_windows`."""
    height, width = maps.shape[2:]
    rows, columns = (height + 3) // 4, (width + 3) // 4
    pixels, down = np.empty(4 * _LINE, np.float32), np.empty(6 * _LINE, np.float32)
    phases = np.empty(4 * _PHASE, np.float32)
    for channel in range(first, last):
        done = 0
        while done < count:
            row, column = (begin + done) // columns, (begin + done) % columns
            across = min(columns - column, count - done, _COLUMNS)
            for i in range(4):
                y = 4 * (row % rows) + i
                line = pixels[i * _LINE : (i + 1) * _LINE]
                if y < height:
                    copy_line(maps[row // rows, channel, y], 4 * column, line, 4 * across)
                else:
                    line[: 4 * across] = 0
            gradients_down(pixels, down, 4 * across)
            for i in range(6):
                separate(down[i * _LINE :], phases, across)
                gradients_across(phases, tiles[channel, 6 * i * TILES + done :], across)
            done += across


def _join_products(products: Any, bias: Any, begin: Any, count: Any, maps: Any, first: Any, last: Any) -> None:
    """Transform products back into blocks begin..begin+count-1: A^T products A, plus the bias.

    Args:
        products: (c, 36 * TILES) float32.
        bias: (c,) float32.
        begin, count: range of blocks.
        maps: (b,c,h,w) float32, written.
        first, last: range of channels.
    """
    height, width = maps.shape[2:]
    rows, columns = (height + 3) // 4, (width + 3) // 4
    down, line = np.empty(24 * _PHASE, np.float32), np.empty(_LINE, np.float32)
    for channel in range(first, last):
        done = 0
        while done < count:
            row, column = (begin + done) // columns, (begin + done) % columns
            across = min(columns - column, count - done, _COLUMNS)
            outputs_down(products[channel, done:], down, across)
            for i in range(min(4, height - 4 * (row % rows))):
                outputs_across(down[6 * i * _PHASE :], line, bias[channel], across)
                pixels = maps[
                    row // rows, channel, 4 * (row % rows) + i, 4 * column : min(width, 4 * (column + across))
                ]
                for x in range(len(pixels)):
                    pixels[x] = line[x]
            done += across


cut_windows, spread_blocks, join_products = compiled(_cut_windows), compiled(_spread_blocks), compiled(_join_products)
