"""Local files that are written whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path

PARTIAL = ".partial"
"""Ending of a file's temporary name. A killed process may leave such a file; the next one removes it."""


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that other processes see complete, or as it was before.

    Args:
        path: a file in a folder that exists.
        content: all of its bytes.

    Raises:
        OSError: the file cannot be written; the old one is kept.
    """
    save_whole(path, lambda partial: partial.write_bytes(content))


def save_whole(path: Path, save: Callable[[Path], object]) -> None:
    """Let a function write a file that other processes see complete, or as it was before.

    The content is on the disk before the file has its name, so that a power cut leaves no empty file.

    Args:
        path: a file in a folder that exists.
        save: writes the file to the temporary path that it is given.

    Raises:
        OSError: the file cannot be written; the old one is kept. Errors of `save` pass.
    """
    partial = path.with_name(f".{uuid.uuid4().hex}{PARTIAL}")  # short, however long the name is
    try:
        save(partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)  # a full disk needs the room
