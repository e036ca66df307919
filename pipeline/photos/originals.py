"""Originals of a dataset: photos, masks and flow pictures at a path or an fsspec URL, read, hashed and compared."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from fsspec.implementations.local import LocalFileSystem

from pipeline.engine.placement import count_of
from pipeline.errors import UnusablePhoto
from pipeline.files.regular_files import MAX_FILE_BYTES, UnusableFileError, read_file, refuse_large
from pipeline.files.storage import explained, open_filesystem
from pipeline.photos.rows import Row

READERS = 8
"""Number of files that are compared at the same time."""

Record = dict[str, dict[str, str]]
"""The `sha256` and the `stamp` of each file that a sample was made of, by its role (`photo`, `mask`, `flow`)."""
LocateFiles = Callable[[Row], Mapping[str, str]]
"""A function that returns the path or URL of each file of a row by its role."""

_VERSIONS = ("ETag", "etag", "md5Hash", "blob_id", "LastModified", "last_modified", "updated", "mtime", "created")
"""Attributes by which object stores identify the version of an object, the most reliable first."""


class Original(NamedTuple):
    """One file that was read.

    Attributes:
        content: bytes of the file.
        stamp: size and time of modification, or the version that an object store gives (an ETag). While the stamp stays
            the same, so does the content. Empty if nothing is known.
    """

    content: bytes
    stamp: str

    @property
    def record(self) -> dict[str, str]:
        """The record of the file in a commit record."""
        return {"sha256": hashlib.sha256(self.content).hexdigest(), "stamp": self.stamp}


class Expected(NamedTuple):
    """What a recipe says about the files of one row.

    Attributes:
        digests: the first digits (hex) of the SHA-256 of each file, by its role.
        problem: short reason and sentence if the row cannot be made; None if it can.
    """

    digests: Mapping[str, str]
    problem: tuple[str, str] | None = None

    def check(self, files: Mapping[str, Original]) -> None:
        """Raise unless the files have the bytes that are expected.

        Raises:
            UnusablePhoto: `other_photo` or `other_mask`.
        """
        for role, digest in self.digests.items():
            sha256 = files[role].record["sha256"]
            if not sha256.startswith(digest):
                raise UnusablePhoto(
                    f"other_{role}",
                    f"the {role} has other bytes than the recipe names: its SHA-256 begins with {sha256[:16]}, that in "
                    f"the recipe with {digest[:16]}. Put the {role} there that the recipe was written for",
                )


def locate_photo_and_mask(row: Row) -> dict[str, str]:
    """Return the path or URL of the photo and, if there is one, of the mask of a row."""
    return {"photo": row.image} if row.mask is None else {"photo": row.image, "mask": row.mask}


def read_original(url: str, role: str = "photo") -> Original:
    """Read a photo, or the mask or flow picture of one.

    Args:
        url: path or fsspec URL.
        role: `photo`, `mask` or `flow`.

    Raises:
        UnusablePhoto: `not_a_file` or `file_too_large`, with the role before it unless that is `photo`.
        PipelineError: URLs of this kind are not known.
        OSError: the file does not exist or cannot be read. Clients of object stores raise errors of their own.
    """
    try:
        return _read(url)
    except UnusableFileError as problem:
        code, sentence = ("", "") if role == "photo" else (f"{role}_", f"{role}: ")
        raise UnusablePhoto(f"{code}{problem.reason}", f"{sentence}{problem}") from None


def changed(used: Iterable[tuple[str, Mapping[str, str]]], announce: Callable[[str], None]) -> list[str]:
    """Return the files whose bytes have changed since a dataset was made of them.

    Files with the recorded stamp are unchanged; all others, such as copies, are read and hashed.

    Args:
        used: path or URL of each file, with its `Original.record`.
        announce: told if files have to be read.

    Returns:
        Paths or URLs of files that have changed or cannot be read.

    Raises:
        PipelineError: an object store fails.
    """
    stamps = _Stamps()
    unsure = [(url, record["sha256"]) for url, record in used if not stamps.is_same(url, record["stamp"])]
    if not unsure:
        return []
    files = count_of(len(unsure), "file")
    announce(f"comparing the contents of {files}, written or copied since the dataset was begun")
    with ThreadPoolExecutor(READERS, thread_name_prefix="compare") as pool:
        found = pool.map(_sha256_of, (url for url, _ in unsure))
        return [url for (url, sha256), now in zip(unsure, found, strict=True) if now != sha256]


class _Stamps:
    """Current stamps of files; folders of object stores are listed only once."""

    def __init__(self) -> None:
        self._listed: set[str] = set()

    def is_same(self, url: str, recorded: str) -> bool:
        """Return whether a file is certainly unchanged."""
        return recorded != "" and self._of(url) == recorded

    def _of(self, url: str) -> str:
        filesystem, path = open_filesystem(url)
        if isinstance(filesystem, LocalFileSystem):
            return _stamp_of_file(path)
        folder = path.rpartition("/")[0]
        try:
            with explained(url, "list"):
                if folder not in self._listed:
                    self._listed.add(folder)
                    filesystem.ls(folder)  # the client caches the listing, so that the next line needs no request
                return _stamp(filesystem.info(path))
        except FileNotFoundError:
            return ""


def _read(url: str) -> Original:
    # The stamp is read first: if the file changes in between, the next comparison finds another stamp.
    filesystem, path = open_filesystem(url)
    if isinstance(filesystem, LocalFileSystem):
        stamp = _stamp_of_file(path)
        return Original(read_file(path), stamp)
    info = filesystem.info(path)
    if info.get("size") is not None:
        refuse_large(info["size"], MAX_FILE_BYTES)
        return Original(filesystem.cat_file(path), _stamp(info))
    with filesystem.open(path, "rb") as stream:
        content: bytes = stream.read(MAX_FILE_BYTES + 1)
    refuse_large(len(content), MAX_FILE_BYTES)
    return Original(content, _stamp(info))


def _sha256_of(url: str) -> str:
    """Return the hash of a file's bytes; empty if there is no usable file."""
    try:
        with explained(url, "read"):
            return read_original(url).record["sha256"]
    except (UnusablePhoto, FileNotFoundError, NotADirectoryError):
        return ""


def _stamp_of_file(path: str) -> str:
    try:
        found = os.stat(path)  # noqa: PTH116  (once for every photo)
    except OSError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns}"


def _stamp(info: Mapping[str, Any]) -> str:
    version = next((str(info[name]) for name in _VERSIONS if info.get(name)), "")
    return f"{info.get('size')} {version}" if version else ""


def each_used(
    rows: Iterable[Row], records: Iterable[Record], locate: LocateFiles
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the path or URL of each file of some rows, with its record."""
    for row, record in zip(rows, records, strict=False):
        urls = locate(row)
        for role in record.keys() & urls.keys():
            yield urls[role], record[role]
