"""Files of weights: their hash, and the errors of readers of damaged files."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

from safetensors import SafetensorError

NOT_READABLE = (OSError, RuntimeError, ValueError, KeyError, EOFError, SafetensorError, pickle.UnpicklingError)
"""Errors that readers raise on damaged or foreign weights."""


def hash_files(paths: list[Path]) -> str:
    """Return the sha256 of one file, or that of the joined digests of several files in the order of their names."""
    digests = []
    for path in sorted(paths):
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
