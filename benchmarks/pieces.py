"""Any number of photos with masks: small ones, cut from the example photos, and copies of these."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.record import ROOT

EXAMPLES = ROOT / "examples/DUTS/DUTS-TR"
"""Folder of the example photos and their masks."""

Piece = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def cut_pieces(count: int, side: int, seed: int = 0) -> Iterator[Piece]:
    """Yield photos (side, side, 3) and masks (side, side) with both object and background."""
    rng = np.random.default_rng(seed)
    pairs = [
        (np.asarray(Image.open(path)), np.asarray(Image.open(EXAMPLES / "DUTS-TR-Mask" / f"{path.stem}.png")))
        for path in sorted((EXAMPLES / "DUTS-TR-Image").iterdir())
    ]
    while count:
        photo, mask = pairs[rng.integers(len(pairs))]
        top, left = (int(rng.integers(length - side)) for length in mask.shape)
        window = (slice(top, top + side), slice(left, left + side))
        if 0.1 < (mask[window] > 127).mean() < 0.9:
            count -= 1
            yield photo[window], mask[window]


def write_copies(root: Path, copies: int) -> Path:
    """Write every example photo and its mask several times as a DUTS-TR tree, and return its root."""
    for part in ("DUTS-TR-Image", "DUTS-TR-Mask"):
        (root / "DUTS-TR" / part).mkdir(parents=True)
        for file in (EXAMPLES / part).iterdir():
            for number in range(copies):
                shutil.copy(file, root / "DUTS-TR" / part / f"{file.stem}-{number}{file.suffix}")
    return root


def write_tree(root: Path, count: int, side: int) -> Path:
    """Write pieces as a DUTS-TR tree, and return its root."""
    for part in ("Image", "Mask"):
        (root / f"DUTS-TR/DUTS-TR-{part}").mkdir(parents=True)
    for number, (photo, mask) in enumerate(cut_pieces(count, side)):
        Image.fromarray(photo).save(root / f"DUTS-TR/DUTS-TR-Image/piece_{number:04d}.png")
        Image.fromarray(mask).save(root / f"DUTS-TR/DUTS-TR-Mask/piece_{number:04d}.png")
    return root
