"""Watches what a process really does to files: openings for writing, flushes to the disk, renames, removals."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock


class Operation(NamedTuple):
    """One operation: `write` (opening), `sync`, `rename`, or `remove`; `target` is a renamed file's new name."""

    kind: str
    path: str
    target: str = ""


_watchers: list[list[Operation]] = []
_WRITING = os.O_WRONLY | os.O_RDWR


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watchers:
        return
    if event == "open" and isinstance(arguments[0], str | os.PathLike) and arguments[2] & _WRITING:
        _note(Operation("write", os.fspath(arguments[0])))
    elif event == "os.rename":
        _note(Operation("rename", os.fspath(arguments[0]), os.fspath(arguments[1])))
    elif event == "os.remove":
        _note(Operation("remove", os.fspath(arguments[0])))


def _note(operation: Operation) -> None:
    for operations in _watchers:
        operations.append(operation)


@contextmanager
def watched_files() -> Iterator[list[Operation]]:
    """Yield a list that grows with every operation of this process, of all its threads."""
    if not hasattr(watched_files, "is_installed"):
        sys.addaudithook(_hear)  # stays until the process ends
        watched_files.is_installed = True  # type: ignore[attr-defined]
    operations: list[Operation] = []
    fsync = os.fsync

    def sync(descriptor: int) -> None:
        fsync(descriptor)
        _note(Operation("sync", str(Path(f"/proc/self/fd/{descriptor}").readlink())))

    _watchers.append(operations)
    try:
        with mock.patch("os.fsync", sync), mock.patch("os.fdatasync", sync):
            yield operations
    finally:
        _watchers.remove(operations)


def assert_written_whole(path: Path, operations: list[Operation]) -> None:
    """Check that a file was written under another name, flushed to the disk, and only then given its name."""
    assert Operation("write", str(path)) not in operations, f"{path} was written in place"
    renames = [place for place, done in enumerate(operations) if (done.kind, done.target) == ("rename", str(path))]
    assert renames, f"{path} did not get its name by a rename"
    for place in renames:
        before = operations[:place]
        last_write = max(i for i, done in enumerate(before) if done[:2] == ("write", operations[place].path))
        assert Operation("sync", operations[place].path) in before[last_write:], f"{path} was not flushed to the disk"
