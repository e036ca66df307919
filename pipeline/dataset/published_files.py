"""The manifest of a published dataset: every file with its size and SHA-256."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipeline.dataset.sealed import is_intact, sealed_json
from pipeline.errors import PipelineError
from pipeline.files.storage import Storage

MANIFEST = "manifest.json"
CARD = "README.md"
PREVIEW = "preview.png"
VIEWER_SAMPLES = "preview.parquet"
CROISSANT = "croissant.json"
MADE_BY_HOSTS = {".gitattributes"}
"""Files that a repository of the Hugging Face Hub has from the start."""
PUBLISHED_EXTRAS = (CARD, PREVIEW, VIEWER_SAMPLES, CROISSANT)
"""Files that publishing adds to a dataset, apart from the manifest."""
PUBLISHED_EXTRAS_WITHOUT_IMAGES = (CARD, VIEWER_SAMPLES, CROISSANT)
"""Those of them that a copy without images has."""


def manifest_json(fingerprint: str, files: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Return the content of the manifest.

    Args:
        fingerprint: fingerprint of the dataset.
        files: key -> `size` in bytes and `sha256`.
    """
    return sealed_json({"format": "fakeflow manifest 1", "fingerprint": fingerprint, "files": dict(files)})


def read_manifest(storage: Storage) -> dict[str, dict[str, Any]]:
    """Return key -> `size` and `sha256` of the files of a published dataset.

    Raises:
        PipelineError: the manifest is damaged.
        FileNotFoundError: there is no manifest.
    """
    content = storage.read(MANIFEST)
    if not is_intact(content):
        raise PipelineError(f"{storage.name}: {MANIFEST} differs from its own checksum; publish the dataset again")
    files: dict[str, dict[str, Any]] = json.loads(content)["files"]
    return files
