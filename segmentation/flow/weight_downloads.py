"""Files of weights that are downloaded once, into the folder in which torch keeps its own."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import torch

from segmentation.errors import FlowError


def downloaded(url: str, name: str, instead: str) -> Path:
    """Return the file of an address, downloaded if it is not there.

    Args:
        url: address; a hexadecimal number at the end of the file's name is the beginning of its sha256.
        name: name of the weights, for the message.
        instead: what to give where nothing can be downloaded, for the message.

    Raises:
        FlowError: the file is not there and cannot be downloaded.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    if not path.is_file():
        expected_hash = re.search(r"-([0-9a-f]{8,})\.", path.name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), expected_hash and expected_hash[1], progress=False)
        except (OSError, RuntimeError) as error:
            raise FlowError(
                f"the weights {name} are not on this machine and cannot be fetched ({error}). Download {url} "
                f"elsewhere, and put it into {path.parent}, or {instead}"
            ) from None
    return path


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
