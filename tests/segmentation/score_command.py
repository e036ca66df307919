"""Helpers of the tests of `segmentation score`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.segmentation import trees

Score = Callable[..., tuple[int | str | None, dict[str, Any], str]]
"""Runs the command; see the fixture of that name."""


def predict(root: Path, video: str, shifts: dict[int, int], name: str = "{:05d}.png") -> None:
    for frame, shift in shifts.items():
        trees.save(root / video / name.format(frame), trees.grey(trees.square(frame + shift)))
