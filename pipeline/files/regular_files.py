"""Reading of files that a user names, if they are regular files of bounded size.

A pipe would block for ever, and a device may never end. Symbolic links are followed; their targets are checked.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

MAX_FILE_BYTES = 2**30
"""Size in bytes of the largest photo, mask or frame that is read. Decoded pictures are smaller, even in 16-bit RGB."""
MAX_TEXT_BYTES = 2**24
"""Size in bytes of the largest configuration or list that is read."""

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class UnusableFileError(OSError):
    """A path leads to something that is not read. The text is a sentence without the path.

    Attributes:
        reason: short machine-readable code, `not_a_file` or `file_too_large`.
    """

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


def read_file(path: str | Path, limit: int | None = MAX_FILE_BYTES) -> bytes:
    """Return the content of a local file.

    Args:
        path: path of the file.
        limit: largest accepted size in bytes; None accepts any size.

    Raises:
        UnusableFileError: the path is not that of a regular file, or the file is too large.
        OSError: the file does not exist or cannot be read.
    """
    with open_regular(path) as stream:
        if limit is None:
            return stream.read()
        refuse_large(os.fstat(stream.fileno()).st_size, limit)
        content = stream.read(limit + 1)  # the size of files such as those in /proc is not reported truly
    refuse_large(len(content), limit)
    return content


def read_text(path: str | Path) -> str:
    """Return the text of a local UTF-8 file of up to `MAX_TEXT_BYTES`.

    Raises:
        UnicodeDecodeError: the file is not UTF-8.
        OSError: as in `read_file`.
    """
    return read_file(path, MAX_TEXT_BYTES).decode("utf-8")


def open_regular(path: str | Path) -> BinaryIO:
    """Open a local file for reading.

    Raises:
        UnusableFileError: the path is not that of a regular file.
        OSError: the file does not exist or cannot be read.
    """
    refuse_irregular(path)
    stream = open(path, "rb", opener=_open_without_waiting)  # noqa: SIM115  (callers close it)
    try:
        _refuse(os.fstat(stream.fileno()).st_mode)
    except BaseException:
        stream.close()
        raise
    return stream


def _open_without_waiting(path: str, flags: int) -> int:
    """Open a file; a pipe that has replaced it in the meantime is not waited for."""
    return os.open(path, flags | os.O_NONBLOCK)


def refuse_irregular(path: str | Path) -> None:
    """Refuse a path that a library is about to open unless it leads to a regular file.

    Raises:
        UnusableFileError: the path leads to something else.
        OSError: the path does not exist.
    """
    _refuse(os.stat(path).st_mode)  # noqa: PTH116  (Path costs as much as the read of a small file)


def refuse_large(size: int, limit: int) -> None:
    """Refuse a file that has more bytes than a limit.

    Raises:
        UnusableFileError: the file is too large.
    """
    if size > limit:
        raise UnusableFileError("file_too_large", f"the file has {size:,} bytes or more; expected at most {limit:,}")


def _refuse(mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((words for is_kind, words in _KINDS if is_kind(mode)), "no regular file")
        raise UnusableFileError("not_a_file", f"this is {kind}; expected a regular file")
