"""Files of weights: their hash, and what readers raise on damaged ones."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

from safetensors import SafetensorError

NOT_READABLE = (OSError, RuntimeError, ValueError, KeyError, EOFError, SafetensorError, pickle.UnpicklingError)
"""What the readers of damaged or foreign weights raise."""


def hash_files(paths: list[Path]) -> str:
    """Return the sha256 of one file, or of the digests of several in the order of their names."""
    digests = []
    for path in sorted(paths):
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
