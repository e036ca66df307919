"""The parts that every exported tree has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.dataset.store import DatasetStore


class UnusableNameError(ValueError):
    """An id that cannot be the stem of files."""


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
    def files(self, row: int) -> Sequence[Path]:
        """Return the files of a usable row.

        Raises:
            UnusableNameError: the row's id cannot be a file's name.
        """

    @abstractmethod
    def writers(self, rows: Sequence[int]) -> Iterator[tuple[int, Callable[[], None]]]:
        """Read neighbouring rows, and yield each with a function that writes its files."""

    def lists(self) -> Mapping[str, str]:
        """Return name -> content of the text files that are written when all samples are there."""
        return {}
