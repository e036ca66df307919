"""Reading of single samples in any order, as training needs it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from pipeline.dataset.inventory import how_to_mend
from pipeline.dataset.keys import shard_key
from pipeline.dataset.sharded_store import AnyLayout, ShardedStore
from pipeline.dataset.shards import ABSENT, decode_chunk, decode_index, index_bytes
from pipeline.errors import PipelineError
from pipeline.files.regular_files import open_regular
from pipeline.files.storage import explained


class SampleReader:
    """Reads rows of the arrays that have one chunk per sample. The indices of shards are read once and kept.

    Args:
        store: an existing dataset.
    """

    def __init__(self, store: ShardedStore[AnyLayout]) -> None:
        self._store = store
        self._indices: dict[tuple[str, int], NDArray[np.uint64]] = {}
        self._arrays: dict[str, zarr.Array[Any]] = {}

    def read(self, name: str, rows: Sequence[int]) -> list[NDArray[Any]]:
        """Return the stored values (not decoded) of some rows of one array, as writable views of one block.

        Arrays that the dataset leaves out are made again.

        Args:
            name: name of the array.
            rows: numbers of rows, in any order.

        Raises:
            PipelineError: a shard is missing, is damaged, or was written anew in the meantime.
        """
        if (remade := self._store.remade(name, rows)) is not None:
            return remade
        array = self._array(name)
        # One block, because NumPy asks for huge pages for large blocks; the first access to small pages is slow.
        samples = list(np.empty((len(rows), *array.shape[1:]), array.dtype))
        try:
            chunks = self._find_chunks(name, rows)
            present = [place for place, (_, offset, _) in enumerate(chunks) if offset != ABSENT]
            contents = self._read_ranges(
                [(path, offset, offset + length) for path, offset, length in (chunks[place] for place in present)]
            )
            for place, content in zip(present, contents, strict=True):
                decode_chunk(content, samples[place])
        except (OSError, ValueError) as error:
            raise PipelineError(
                f"{self._store.name}: the array {name} cannot be read ({error}). If the dataset was written in the "
                f"meantime, start again. If not, it is damaged. {how_to_mend(self._store.storage)}"
            ) from error
        for place in set(range(len(rows))) - set(present):
            samples[place].fill(array.fill_value)
        return samples

    def _find_chunks(self, name: str, rows: Sequence[int]) -> list[tuple[str, int, int]]:
        """Return path of the shard, offset and length of each row's chunk."""
        array = self._array(name)
        assert array.shards is not None
        places = [divmod(row, array.shards[0]) for row in rows]
        paths = {shard: f"{self._store.root}/{shard_key(name, array.ndim, shard)}" for shard, _ in places}
        unread = [shard for shard in paths if (name, shard) not in self._indices]
        size = index_bytes(array.shards[0])
        for shard, content in zip(
            unread, self._read_ranges([(paths[shard], -size, None) for shard in unread]), strict=True
        ):
            self._indices[name, shard] = decode_index(content)
        return [(paths[shard], *self._indices[name, shard][place].tolist()) for shard, place in places]

    def _array(self, name: str) -> zarr.Array[Any]:
        if name not in self._arrays:
            array = self._store.group[name]
            assert isinstance(array, zarr.Array)
            self._arrays[name] = array
        return self._arrays[name]

    def _read_ranges(self, ranges: list[tuple[str, int, int | None]]) -> list[bytes]:
        """Read parts of objects: (path, first byte or minus bytes from the end, end or None)."""
        if self._store.storage.is_local:
            return [_read_range(Path(path), start, stop) for path, start, stop in ranges]
        if not ranges:
            return []
        paths, starts, stops = (list(part) for part in zip(*ranges, strict=True))
        with explained(self._store.name, "read"):
            contents: list[bytes] = self._store.storage.filesystem.cat_ranges(paths, starts, stops, on_error="raise")
        for content, (_, start, stop) in zip(contents, ranges, strict=True):
            if len(content) > (-start if stop is None else stop - start):
                raise PipelineError(
                    f"{self._store.name}: the server sends whole files where parts are requested. Serve the dataset by "
                    "one that answers range requests, or copy it to a folder."
                )
        return contents


def _read_range(path: Path, start: int, stop: int | None) -> bytes:
    with open_regular(path) as file:
        if stop is None:
            file.seek(start, os.SEEK_END)
            return file.read()
        return os.pread(file.fileno(), stop - start, start)
