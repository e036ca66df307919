"""Reads what a user names, if it is a regular file of bounded size: a pipe would block for ever, a device never end.

Symbolic links are followed; what they lead to counts.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

MAX_FILE_BYTES = 2**30
"""Largest photo, mask or frame that is read: the largest picture that is decoded has fewer bytes in 16-bit RGB."""
MAX_TEXT_BYTES = 2**24
"""Largest configuration or list that is read."""

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class UnusableFileError(OSError):
    """What is at a path is not read; the text is a sentence without the path.

    Attributes:
        reason: short machine-readable code, `not_a_file` or `file_too_large`.
    """

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


def read_file(path: str | Path, limit: int | None = MAX_FILE_BYTES) -> bytes:
    """Return the content of a local file.

    Args:
        path: of the file.
        limit: largest size that is accepted, bytes; None = any.

    Raises:
        UnusableFileError: no regular file, or a larger one.
        OSError: it is not there, or cannot be read.
    """
    with open_regular(path) as stream:
        if limit is None:
            return stream.read()
        refuse_large(os.fstat(stream.fileno()).st_size, limit)
        content = stream.read(limit + 1)  # files of the system have another size than they say
    refuse_large(len(content), limit)
    return content


def read_text(path: str | Path) -> str:
    """Return a local text file, UTF-8, of up to `MAX_TEXT_BYTES`; errors as in `read_file`, and UnicodeDecodeError."""
    return read_file(path, MAX_TEXT_BYTES).decode("utf-8")


def open_regular(path: str | Path) -> BinaryIO:
    """Open a local file for reading; errors as in `read_file`."""
    refuse_irregular(path)
    # A pipe that takes the file's place now does not block either.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _refuse(os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def refuse_irregular(path: str | Path) -> None:
    """Raise if a path that a library is about to open leads to something else than a regular file.

    Raises:
        UnusableFileError: it does.
        OSError: there is nothing.
    """
    _refuse(os.stat(path).st_mode)  # noqa: PTH116  (Path costs as much as the read of a small file)


def refuse_large(size: int, limit: int) -> None:
    """Raise if a file has more bytes than the limit.

    Raises:
        UnusableFileError: it has.
    """
    if size > limit:
        raise UnusableFileError("file_too_large", f"the file has {size:,} bytes or more; expected at most {limit:,}")


def _refuse(mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((words for is_kind, words in _KINDS if is_kind(mode)), "no regular file")
        raise UnusableFileError("not_a_file", f"this is {kind}; expected a regular file")
