"""Checks of a dataset, and ways to damage its files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline.checking.findings import Verification
from pipeline.checking.verify import verify


class Silent:
    """A watcher that only checks the counts."""

    def announce(self, sentence: str) -> None:
        pass

    def update(self, to_do: int, done: int, failed: int) -> None:
        assert 0 <= done <= to_do


def check(place: Path | str, all_rows: bool = True) -> Verification:
    return verify(str(place), Silent(), all_rows)


def flip_bit(path: Path, rng: np.random.Generator) -> None:
    content = bytearray(path.read_bytes())
    content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    path.write_bytes(content)


SPOIL: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "lost object": (lambda x: (x / "flow/c/1/0/0/0/0").unlink(), "flow/c/1/0/0/0/0", "is missing"),
    "truncated object": (
        lambda x: (x / "mask/c/0/0/0").write_bytes((x / "mask/c/0/0/0").read_bytes()[:-1]),
        "mask/c/0/0/0",
        "other bytes",
    ),
    "object of another shard": (
        lambda x: shutil.copy(x / "image/c/0/0/0/0", x / "image/c/2/0/0/0"),
        "image/c/2/0/0/0",
        "other bytes",
    ),
    "surplus object": (
        lambda x: shutil.copytree(x / "image/c/0", x / "image/c/7"),
        "image/c/7/0/0/0",
        "does not belong",
    ),
    "half-written object": (
        lambda x: (x / "image/c/0.abc.partial").write_bytes(b"half"),
        "image/c/0.abc.partial",
        "does not belong",
    ),
    "record of another shard": (
        lambda x: shutil.copy(x / ".fakeflow/commits/000000.json", x / ".fakeflow/commits/000001.json"),
        ".fakeflow/commits/000001.json",
        "is that of shard 0",
    ),
    "lost metadata": (lambda x: (x / "flow/zarr.json").unlink(), "flow/zarr.json", "is missing"),
    "lost root": (lambda x: (x / "zarr.json").unlink(), "zarr.json", "is missing"),
}
