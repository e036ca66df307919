"""The parts that every exported tree has."""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.dataset.store import DatasetStore

_ROWS_PER_READ = 16
_OF_ONE_NAME = {errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.EISDIR, errno.ENOTEMPTY}
"""Errors of the system that concern the name of one file, not the disk."""


class UnusableNameError(ValueError):
    """An id that cannot be the stem of files."""


@dataclass
class Written:
    """The outcome of some rows.

    Attributes:
        samples: number of samples that are there.
        new: number of samples that were written now.
        failures: row -> reason why its files cannot be written.
    """

    samples: int = 0
    new: int = 0
    failures: dict[int, str] = field(default_factory=dict)


class ExportedTree(ABC):
    """A folder tree that shows a dataset in the layout of some reader.

    Args:
        store: a complete dataset.
        root: folder of the tree.

    Attributes:
        folders: folders to make before anything is written, relative to the root.
        ids: id of every row.
    """

    folders: tuple[str, ...] = ()

    def __init__(self, store: DatasetStore, root: Path) -> None:
        self.store, self.root = store, root
        self.ids = [str(name) for name in store.read("id", slice(None))]

    @abstractmethod
    def description(self) -> dict[str, Any]:
        """Return the values on which the files depend."""

    @abstractmethod
    def parts(self, usable: NDArray[np.int64]) -> Sequence[NDArray[np.int64]]:
        """Divide the usable rows into parts that are written independently of each other."""

    @abstractmethod
    def write(self, rows: list[int]) -> Written:
        """Write the files of one part that are not there yet."""

    def lists(self) -> Mapping[str, str]:
        """Return name -> content of the text files that are written when all samples are there."""
        return {}


class TreeOfSamples(ExportedTree):
    """A tree in which every sample has files of its own."""

    @abstractmethod
    def files(self, row: int) -> Sequence[Path]:
        """Return the files of a usable row.

        Raises:
            UnusableNameError: the row's id cannot be a file's name.
        """

    @abstractmethod
    def writers(self, rows: Sequence[int]) -> Iterator[tuple[int, Callable[[], None]]]:
        """Read neighbouring rows, and yield each with a function that writes its files."""

    def parts(self, usable: NDArray[np.int64]) -> Sequence[NDArray[np.int64]]:
        """Return rows that are read together."""
        return np.split(usable, np.flatnonzero(np.diff(usable // _ROWS_PER_READ)) + 1)

    def write(self, rows: list[int]) -> Written:
        """Write the files of neighbouring rows that are not there yet; a row whose names are refused is a failure."""
        written, motions = Written(), self.store.layout.motions
        incomplete = []
        for row in rows:
            with _noted(row, written.failures):
                if not all([path.is_file() for path in self.files(row)]):
                    incomplete.append(row)
        for row, write in self.writers(incomplete):
            with _noted(row, written.failures):
                write()
            if row in written.failures:  # all folders must hold the same names: some code pairs files by position
                for path in filter(Path.is_file, self.files(row)):
                    path.unlink()
        written.new = sum(row not in written.failures for row in incomplete) * motions
        written.samples = (len(rows) - len(written.failures)) * motions
        return written


@contextmanager
def _noted(row: int, failures: dict[int, str]) -> Iterator[None]:
    """Record an error that concerns the file names of one row; let pass errors that concern the whole tree."""
    try:
        yield
    except UnusableNameError as problem:
        failures[row] = str(problem)
    except OSError as error:
        if error.errno not in _OF_ONE_NAME:
            raise
        failures[row] = f"{error.strerror}: {error.filename2 or error.filename}"
