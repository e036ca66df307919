"""Finds a network on disk: a folder of `save_network`, a training run with such folders, or a released .pth file."""

from __future__ import annotations

import shlex
from pathlib import Path

from segmentation.errors import SegmentationError

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
BEST, LAST = "best", "last"
"""Folders of a training run that hold networks."""
EXPECTED = (
    "a run folder of `segmentation train`, a folder written by save_network, or a released FakeFlow_mitb*.pth or "
    "DepthFlow_mitb*.pth"
)


def find_network(path: Path) -> Path:
    """Return the network that a path means: of a training run the best one, else what is there.

    Raises:
        SegmentationError: nothing is there, a folder without a network, or a run that has no best network yet.
    """
    if not path.exists():
        raise SegmentationError(f"{path} does not exist. Expected {EXPECTED}.")
    if not path.is_dir() or (path / CONFIG_FILE).is_file():
        return path
    if (path / BEST / CONFIG_FILE).is_file():
        return path / BEST
    if (path / LAST / CONFIG_FILE).is_file():
        raise SegmentationError(
            f"{path} is a run that has not been validated yet, so it has no best network. Continue it with --resume, "
            f"or take its last network: {shlex.quote(str(path / LAST))}"
        )
    raise SegmentationError(f"{path} holds no network: it has no {CONFIG_FILE}. Expected {EXPECTED}.")
