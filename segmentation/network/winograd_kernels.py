"""Winograd's tiles, the loop for the CPU. Imports numba, so the module that calls it imports it late."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowsim.kernels.jit import compiled


def _cut_tiles(planes: Any, matrix: Any, top: Any, tiles: Any, first: Any, last: Any) -> None:
    """Transform the overlapping 6x6 windows of channels first..last-1: matrix window matrix^T.

    Windows start one pixel above and left of every fourth pixel; beyond the borders there is zero.

    Args:
        planes: (c,h,w) float32.
        matrix: (6,6) float32.
        top: row of windows that comes first in `tiles`.
        tiles: (36,c,rows,columns) float32, written.
        first, last: range of channels.
    """
    _, height, width = planes.shape
    _, _, rows, columns = tiles.shape
    line = np.zeros(4 * columns + 4, np.float32)
    # Every fourth pixel side by side: all loops but one run over neighbours in memory and are vectorised.
    phases = np.zeros((6, 4, columns + 1), np.float32)
    transformed = np.empty(columns, np.float32)
    for channel in range(first, last):
        for row in range(rows):
            above = 4 * (top + row) - 1
            for i in range(6):
                line[:] = 0
                for k in range(6):
                    factor = matrix[i, k]
                    if factor != 0 and 0 <= above + k < height:
                        pixels = planes[channel, above + k]
                        for x in range(width):
                            line[x + 1] += factor * pixels[x]
                for x in range(columns + 1):
                    for phase in range(4):
                        phases[i, phase, x] = line[4 * x + phase]
            for i in range(6):
                for j in range(6):
                    transformed[:] = 0
                    for k in range(6):
                        factor = matrix[j, k]
                        if factor != 0:
                            values = phases[i, k % 4, k // 4 :]
                            for x in range(columns):
                                transformed[x] += factor * values[x]
                    tiles[6 * i + j, channel, row] = transformed


cut_tiles = compiled(_cut_tiles)
