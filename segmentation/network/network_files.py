"""Finds a network: the embedded one, a folder of `save_network`, a training run with one, or a released .pth file."""

from __future__ import annotations

import shlex
from pathlib import Path

from segmentation.errors import SegmentationError

EMBEDDED_NETWORK = "tiny-vos"
"""Name of the network that is part of the package; segmentation/tiny_vos/README.md is its card."""
CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
BEST, LAST = "best", "last"
"""Folders of a training run that hold networks."""
EXPECTED = (
    "tiny-vos, a run folder of `segmentation train`, a folder written by save_network, or a released "
    "FakeFlow_mitb*.pth or DepthFlow_mitb*.pth"
)


def find_network(path: Path) -> Path:
    """Return the network that a path or the name `tiny-vos` means: of a training run the best one, else what is there.

    Raises:
        SegmentationError: nothing is there, a folder without a network, or a run that has no best network yet.
    """
    if str(path) == EMBEDDED_NETWORK:
        return Path(__file__).parents[1] / "tiny_vos"
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
