"""Files of a distillation that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def save_whole(path: Path, save: Callable[[Path], object]) -> None:
    """Let a function write a file that is complete as soon as it has its name.

    Args:
        path: a file in a folder that exists.
        save: writes the file to the temporary path that it is given.
    """
    partial = path.with_suffix(".partial")
    save(partial)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)
