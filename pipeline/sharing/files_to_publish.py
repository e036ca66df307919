"""The files of a published copy, whose contents are read or made when they are copied."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipeline.dataset.keys import ROOT_METADATA
from pipeline.dataset.store import DatasetStore


@dataclass(frozen=True)
class PublishedFile:
    """A file to publish: its key, its checksum, and a function that returns its content."""

    key: str
    sha256: str
    content: Callable[[], bytes]


def stored(store: DatasetStore, key: str, sha256: str) -> PublishedFile:
    """Return a file of a dataset."""
    return PublishedFile(key, sha256, lambda: store.storage.read_if_there(key) or b"")


def computed(key: str, content: Callable[[], bytes]) -> PublishedFile:
    """Return a file whose content is computed when it is needed, and not kept."""
    return PublishedFile(key, sha256_of(content()), content)


def made(key: str, content: bytes) -> PublishedFile:
    """Return a file whose content is there already."""
    return PublishedFile(key, sha256_of(content), lambda: content)


def root_last(metadata: Mapping[str, bytes]) -> list[PublishedFile]:
    """Return files of metadata, those of the root last.

    Args:
        metadata: key -> content.
    """
    return [made(key, metadata[key]) for key in sorted(metadata, key=lambda key: (key == ROOT_METADATA, key))]


def sha256_of(content: bytes) -> str:
    """Return the checksum of a file's content."""
    return hashlib.sha256(content).hexdigest()
