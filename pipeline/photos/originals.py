"""What datasets are made of: photos, masks and flow pictures, at a path or an fsspec URL; read, hashed, compared."""

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
"""Files that are compared at the same time."""

Record = dict[str, dict[str, str]]
"""What a sample was made of: role (`photo`, `mask`, `flow`) -> `sha256` of the bytes, and `stamp`."""
LocateFiles = Callable[[Row], Mapping[str, str]]
"""A function that returns the path or URL of each file of a row by its role."""

_VERSIONS = ("ETag", "etag", "md5Hash", "blob_id", "LastModified", "last_modified", "updated", "mtime", "created")
"""What stores say of an object that changes with its content, the best first."""


class Original(NamedTuple):
    """One file as it was read.

    Attributes:
        content: its bytes.
        stamp: size and time of modification, or what a store has in place of the latter (an ETag); while it stays the
            same, so does the content. Empty if nothing is known.
    """

    content: bytes
    stamp: str

    @property
    def record(self) -> dict[str, str]:
        """What is kept of it with the dataset."""
        return {"sha256": hashlib.sha256(self.content).hexdigest(), "stamp": self.stamp}


def locate_photo_and_mask(row: Row) -> dict[str, str]:
    """Return the path or URL of the photo and, if there is one, of the mask of a row."""
    return {"photo": row.image} if row.mask is None else {"photo": row.image, "mask": row.mask}


def read_original(url: str, role: str = "photo") -> Original:
    """Read a photo, or what belongs to one.

    Args:
        url: path or fsspec URL.
        role: what it is: `photo`, `mask` or `flow`.

    Raises:
        UnusablePhoto: `not_a_file` or `file_too_large`, with the role before it unless it is the photo.
        PipelineError: no such kind of URL.
        OSError: it is not there, or cannot be read; clients of object stores have errors of their own.
    """
    try:
        return _read(url)
    except UnusableFileError as problem:
        code, sentence = ("", "") if role == "photo" else (f"{role}_", f"{role}: ")
        raise UnusablePhoto(f"{code}{problem.reason}", f"{sentence}{problem}") from None


def changed(used: Iterable[tuple[str, Mapping[str, str]]], announce: Callable[[str], None]) -> list[str]:
    """Find the files whose bytes are others than those that a dataset was made of.

    Files whose stamp is the recorded one count as the same; the others, such as copies, are read and hashed.

    Args:
        used: path or URL, and `Original.record` of what was read there.
        announce: told if files have to be read.

    Returns:
        Those that changed, or that cannot be read.

    Raises:
        PipelineError: a store fails.
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
    """The stamps that files have now; folders of object stores are listed once."""

    def __init__(self) -> None:
        self._listed: set[str] = set()

    def is_same(self, url: str, recorded: str) -> bool:
        """Tell whether a file surely is as it was."""
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
                    filesystem.ls(folder)  # the client keeps what it learns, so that the next line costs no request
                return _stamp(filesystem.info(path))
        except FileNotFoundError:
            return ""


def _read(url: str) -> Original:
    # The stamp first: should the file change in between, the next comparison finds another stamp and looks closer.
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
    """Return the hash of a file's bytes; empty if there is no file that could be used."""
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
