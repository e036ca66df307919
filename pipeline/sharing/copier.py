"""Copies files to the place of a published dataset, which no reader sees as a dataset meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any, NamedTuple

from pipeline.command.progress import Progress
from pipeline.dataset.sharded_store import COPYING
from pipeline.errors import PipelineError
from pipeline.files.locks import WriterLock
from pipeline.files.storage import Storage
from pipeline.sharing.files_to_publish import PublishedFile, sha256_of

COPYING_TEXT = b"`pipeline publish` was copying a dataset to this place; the same command goes on.\n"
COPIES = 4
"""Number of files that are copied, and held in memory, at the same time."""


class _Copied(NamedTuple):
    """A file at the destination: its key, its size, its checksum, and whether this command copied it."""

    key: str
    size: int
    sha256: str
    is_new: bool


class Copier:
    """Copies a limited number of files at a time, and skips files that the destination holds already.

    Args:
        target: the destination.
        there: key -> size of the files that it holds.
        mark: file without which readers see no dataset.
        progress: is told the number of files that are there.
        lock: lock of the destination; checked before every write.
        to_do: number of all files.

    Attributes:
        done: key -> size and checksum of the files that are there.
        copied: number of those that were not there before.
    """

    def __init__(
        self,
        target: Storage,
        there: Mapping[str, int],
        mark: PublishedFile,
        progress: Progress,
        lock: WriterLock,
        to_do: int,
    ) -> None:
        self.target, self.there, self.progress, self.lock, self.to_do = target, there, progress, lock, to_do
        self.done: dict[str, tuple[int, str]] = {}
        self.copied = 0
        self._mark = mark
        self._is_visible, self._is_begun = mark.key in there, COPYING in there
        self._beginning = threading.Lock()

    def copy(self, files: Iterable[PublishedFile]) -> None:
        """Copy files; each of them is read back and compared."""
        left = iter(files)
        copies = COPIES if self.target.files_at_once == 1 else 1  # one commit at a time
        with ThreadPoolExecutor(copies, thread_name_prefix="publish") as pool:
            running: set[Future[list[_Copied]]] = set()
            try:
                while some := list(islice(left, self.target.files_at_once)):
                    if len(running) >= copies:
                        running = self._collect(running)
                    running.add(pool.submit(self._copy_some, some))
                while running:
                    running = self._collect(running)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _has(self, file: PublishedFile) -> bool:
        """Return whether the destination holds the same bytes already."""
        return file.key in self.there and sha256_of(self.target.read_if_there(file.key) or b"") == file.sha256

    def _copy_some(self, files: Sequence[PublishedFile]) -> list[_Copied]:
        contents = {}
        copied = []
        for file in files:
            content = file.content()
            if sha256_of(content) != file.sha256:
                raise PipelineError(
                    f"{file.key} of the dataset changed while it was published. Wait until nothing writes it any "
                    "more, then publish with the same command."
                )
            is_hidden_mark = file.key == self._mark.key and not self._is_visible
            is_there = self.there.get(file.key) == len(content) and not is_hidden_mark and self._has(file)
            copied.append(_Copied(file.key, len(content), file.sha256, not is_there))
            if not is_there:
                contents[file.key] = content
        if contents:
            self.lock.check()
            self._begin()
            self.target.write_together(contents)
        for key, content in contents.items():
            if self.target.read(key) != content:
                raise PipelineError(f"{self.target.name}: {key} reads back other bytes than were written. Try again.")
        return copied

    def finish(self) -> None:
        """Say that the copy is finished, once all files are there."""
        if self._is_begun:
            self.target.delete(COPYING)

    def _begin(self) -> None:
        """Mark the copy as unfinished and remove the root's metadata before other files change.

        Readers see no half-copied dataset then, and are told that it is one.
        """
        with self._beginning:
            if not self._is_begun:
                self.target.write_together({COPYING: COPYING_TEXT})
                self._is_begun = True
            if self._is_visible:
                self.target.delete(self._mark.key)
                self._is_visible = False

    def _collect(self, running: set[Future[Any]]) -> set[Future[Any]]:
        finished, running = wait(running, return_when=FIRST_COMPLETED)
        for future in finished:
            for file in future.result():
                self.done[file.key] = file.size, file.sha256
                self.copied += file.is_new
        self.progress.update(self.to_do, len(self.done), 0)
        return running
