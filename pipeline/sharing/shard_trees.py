"""Trees of a few large files, each with the samples of many rows: WebDataset shards, and Parquet."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.dataset.store import DatasetStore
from pipeline.files.pictures import JPEG_QUALITY
from pipeline.files.whole_files import save_whole
from pipeline.sharing.export_tree import ExportedTree, Written
from pipeline.sharing.packed_samples import PackedSample, SamplePacker
from pipeline.sharing.parquet_files import PICTURE, Row, write_parquet

SAMPLES_PER_FILE = 1024
_SAMPLES_PER_GROUP = 32
"""Samples that are in memory together, and form a row group of Parquet."""
_FOLDER = "data"


class ShardTree(ExportedTree):
    """Files `data/train-00000-of-00011` with some ending, written one by one without holding one in memory.

    Args:
        store: a complete dataset.
        root: folder of the tree.
        samples_per_file: number of samples of a file, at least one row.
    """

    layout: str
    ending: str
    folders = (_FOLDER,)

    def __init__(self, store: DatasetStore, root: Path, samples_per_file: int = SAMPLES_PER_FILE) -> None:
        super().__init__(store, root)
        self._rows_per_file = max(1, samples_per_file // store.layout.motions)
        usable = store.usable_rows()
        self._content = hashlib.sha256(usable.astype("<i8").tobytes()).hexdigest()
        parts = self.parts(usable)
        names = (f"{_FOLDER}/train-{number:05d}-of-{len(parts):05d}.{self.ending}" for number in range(len(parts)))
        self._files = {int(rows[0]): root / name for rows, name in zip(parts, names, strict=True)}
        self._packer = SamplePacker(store)

    @abstractmethod
    def write_file(self, path: Path, samples: Iterator[PackedSample]) -> None:
        """Write one file."""

    def description(self) -> dict[str, Any]:
        """Return the values on which the files depend."""
        return {
            "fingerprint": self.store.attributes["fingerprint"],
            "layout": self.layout,
            "rows": self._content,
            "rows_per_file": self._rows_per_file,
            "jpeg_quality": JPEG_QUALITY,
        }

    def parts(self, usable: NDArray[np.int64]) -> Sequence[NDArray[np.int64]]:
        """Return the rows of each file."""
        return [usable[start : start + self._rows_per_file] for start in range(0, len(usable), self._rows_per_file)]

    def write(self, rows: list[int]) -> Written:
        """Write the file of these rows unless it is there."""
        path, samples = self._files[rows[0]], len(rows) * self.store.layout.motions
        if path.is_file():
            return Written(samples)
        save_whole(path, lambda partial: self.write_file(partial, self._packer.pack(rows)))
        return Written(samples, new=samples)


class WebDatasetTree(ShardTree):
    """Tar files as the library webdataset reads them; see `_members` for the files of a sample."""

    layout = "webdataset"
    ending = "tar"

    def write_file(self, path: Path, samples: Iterator[PackedSample]) -> None:
        """Write a tar file whose bytes depend on the samples alone."""
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for sample in samples:
                for name, content in _members(sample).items():
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))


class ParquetTree(ShardTree):
    """Parquet files as the library datasets reads them, with pictures."""

    layout = "parquet"
    ending = "parquet"

    def write_file(self, path: Path, samples: Iterator[PackedSample]) -> None:
        """Write a Parquet file."""
        later = {f"image_{number}": PICTURE for number in range(1, self.store.layout.frames)}
        sizes = dict.fromkeys(("row", "motion_index", "height", "width"), "int32")
        columns = {"id": "string", "image": PICTURE, **later, "mask": PICTURE, "arrays": "binary", **sizes}
        rows = map(_parquet_row, samples)
        write_parquet(str(path), columns, iter(lambda: list(islice(rows, _SAMPLES_PER_GROUP)), []))


SHARD_TREES: Mapping[str, type[ShardTree]] = {tree.layout: tree for tree in (WebDatasetTree, ParquetTree)}
"""The layouts of a few large files, by the name that the command takes."""


def _members(sample: PackedSample) -> dict[str, bytes]:
    """Return name -> content of the files of a sample.

    The names begin with a number, since webdataset ends the name of a sample at its first dot, and ids may have dots.
    """
    key = f"{sample.values['row']:08d}_{sample.values['motion_index']}"
    frames = {f"{key}.{_frame_name(number)}jpg": frame for number, frame in enumerate(sample.frames)}
    values = (json.dumps(sample.values, ensure_ascii=False) + "\n").encode()
    return {**frames, f"{key}.mask.png": sample.mask, f"{key}.npz": sample.arrays, f"{key}.json": values}


def _frame_name(number: int) -> str:
    return f"{number}." if number else ""


def _parquet_row(sample: PackedSample) -> Row:
    later = {f"image_{number}": frame for number, frame in enumerate(sample.frames[1:], 1)}
    return {**sample.values, "image": sample.frames[0], **later, "mask": sample.mask, "arrays": sample.arrays}
