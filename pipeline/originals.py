"""Reads what datasets are made of: photos, masks and flow pictures, at a path or an fsspec URL."""

from __future__ import annotations

from fsspec.implementations.local import LocalFileSystem

from pipeline.errors import UnusablePhoto
from pipeline.regular_files import MAX_FILE_BYTES, UnusableFileError, read_file, refuse_large
from pipeline.storage import open_filesystem


def read_original(url: str, role: str = "") -> bytes:
    """Return the content of a photo, or of what belongs to one.

    Args:
        url: path or fsspec URL.
        role: what it is where it is not the photo itself, such as `mask`.

    Raises:
        UnusablePhoto: `not_a_file` or `file_too_large`, with the role before it.
        PipelineError: no such kind of URL.
        OSError: it is not there, or cannot be read; clients of object stores have errors of their own.
    """
    try:
        return _read(url)
    except UnusableFileError as problem:
        code, sentence = (f"{role}_", f"{role}: ") if role else ("", "")
        raise UnusablePhoto(f"{code}{problem.reason}", f"{sentence}{problem}") from None


def _read(url: str) -> bytes:
    filesystem, path = open_filesystem(url)
    if isinstance(filesystem, LocalFileSystem):
        return read_file(path)
    with filesystem.open(path, "rb") as stream:
        content: bytes = stream.read(MAX_FILE_BYTES + 1)
    refuse_large(len(content), MAX_FILE_BYTES)
    return content
