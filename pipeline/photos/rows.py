"""The rows of a listing, packed to spare the memory of the process that drives a run.

A million rows of a bucket take 22 MB packed and 419 MB as a tuple of `Row`, for as long as the run lasts; while the
photos are listed, both need 440 MB. Reading them all in order takes 10 s and 0.3 s (`python -m benchmarks.scaling`
measures a whole plan).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import overload

ROWS_PER_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class Row:
    """The id of a photo, its path or URL, and that of its mask; None if it has no mask."""

    id: str
    image: str
    mask: str | None


class Rows(Sequence[Row]):
    """Rows in compressed blocks, about 20 bytes each; fast when they are read in order."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._blocks: list[bytes] = []
        self._length = 0
        left = iter(rows)
        while block := [(row.id, row.image, row.mask) for row in islice(left, ROWS_PER_BLOCK)]:
            self._blocks.append(zlib.compress(json.dumps(block).encode(), 1))
            self._length += len(block)
        self._unpacked: tuple[int, list[Row]] = (-1, [])

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Row: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Row, ...]: ...

    def __getitem__(self, index: int | slice) -> Row | tuple[Row, ...]:
        chosen = range(self._length)[index]
        return self._row(chosen) if isinstance(chosen, int) else tuple(map(self._row, chosen))

    def _row(self, position: int) -> Row:
        number, place = divmod(position, ROWS_PER_BLOCK)
        if self._unpacked[0] != number:
            block = json.loads(zlib.decompress(self._blocks[number]))
            self._unpacked = number, [Row(*parts) for parts in block]
        return self._unpacked[1][place]
