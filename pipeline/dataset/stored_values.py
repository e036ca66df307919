"""Reading of a dataset's arrays by Zarr, which is loaded with this module."""

from __future__ import annotations

from typing import Any

import numpy as np
import zarr
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from numpy.typing import NDArray
from zarr.storage import FsspecStore, LocalStore

from pipeline.dataset.commits import commit_key
from pipeline.dataset.inventory import how_to_mend
from pipeline.dataset.keys import shard_key
from pipeline.errors import PipelineError
from pipeline.files.storage import Storage, explained


class StoredValues:
    """The values of the arrays of one dataset.

    Args:
        storage: place of the dataset.
        samples_per_shard: number of rows of a shard.

    Attributes:
        group: the Zarr group, for reading and for whole-shard writes.
    """

    def __init__(self, storage: Storage, samples_per_shard: int) -> None:
        self._storage, self._samples_per_shard = storage, samples_per_shard
        with explained(storage.name, "read"):
            self.group = zarr.open_group(_zarr_store(storage), mode="r+", use_consolidated=True)

    def read(self, name: str, rows: int | slice) -> NDArray[Any]:
        """Return the stored values, not decoded, of some rows of one array.

        Raises:
            PipelineError: the values are damaged or lost, or the store fails.
        """
        try:
            with explained(self._storage.name, "read"):
                values: NDArray[Any] = np.asarray(self._array(name)[rows])
        except (ValueError, RuntimeError) as error:  # errors of Zarr's codecs
            if isinstance(error, PipelineError):
                raise
            raise PipelineError(
                f"{self._storage.name}: the array {name} is damaged. {how_to_mend(self._storage)}"
            ) from error
        self._refuse_lost(name, rows, values)
        return values

    def _array(self, name: str) -> zarr.Array[Any]:
        array = self.group[name]
        assert isinstance(array, zarr.Array)
        return array

    def _refuse_lost(self, name: str, rows: int | slice, values: NDArray[Any]) -> None:
        """Refuse rows that read as empty because their object is gone: Zarr reads a missing object as fill values."""
        array, storage = self._array(name), self._storage
        shard_of_row = np.atleast_1d(np.arange(array.shape[0])[rows] // self._samples_per_shard)
        samples = values[None] if isinstance(rows, int) else values
        for shard, first, count in zip(*np.unique(shard_of_row, return_index=True, return_counts=True), strict=True):
            key = shard_key(name, array.ndim, int(shard))
            is_empty = (samples[first : first + count] == array.fill_value).all()
            if is_empty and not storage.has(key) and storage.has(commit_key(int(shard))):
                raise PipelineError(f"{storage.name}: {key} is lost. {how_to_mend(storage)}")


def _zarr_store(storage: Storage) -> LocalStore | FsspecStore:
    if storage.is_local:
        return LocalStore(storage.root)
    # A store that Zarr opens from the URL would hold a second session, which nobody closes.
    return FsspecStore(AsyncFileSystemWrapper(storage.filesystem, asynchronous=True), path=storage.root)
