"""Files of a distillation that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def save_whole(path: Path, save: Callable[[Path], object]) -> None:
    """Write a file that is complete as soon as it has its name.

    Args:
        path: file in an existing folder.
        save: function that writes the content to the temporary path it is called with.
    """
    partial = path.with_suffix(".partial")
    save(partial)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)
