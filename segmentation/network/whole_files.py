"""Writes files whole or not at all; a failure is reported in one sentence."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from segmentation.errors import SegmentationError

PARTIAL = ".partial"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that other processes see complete, or as it was before.

    Raises:
        SegmentationError: it cannot be written.
    """
    save_whole(path, lambda partial: partial.write_bytes(content))


def save_whole(path: Path, save: Callable[[Path], object]) -> None:
    """Do the same with what writes to the path that it is given.

    Raises:
        SegmentationError: it cannot be written.
    """
    partial = path.with_name(f".{uuid.uuid4().hex}{PARTIAL}")  # short, however long the name is
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            save(partial)
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say in one sentence why `path` cannot be written.

    Raises:
        SegmentationError: an error of the system, or of the libraries that write checkpoints.
    """
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        if isinstance(error, OSError):
            reason = error.strerror
        else:
            reason = str(error) if isinstance(error, SafetensorError) else "no room is left, or the disk fails"
        raise SegmentationError(
            f"{path} cannot be written ({reason}); what was there is kept. Make room, or repair this, and try again"
        ) from error
