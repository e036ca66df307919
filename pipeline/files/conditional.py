"""Conditional writes of object stores, which succeed only if nobody else wrote in between. Leases are made of them."""

from __future__ import annotations

import numpy as np

from pipeline.files.storage import Storage, error_code, explained

_REFUSED = {"PreconditionFailed", "ConditionalRequestConflict"}
_UNKNOWN = {"NotImplemented"}
"""Error codes of S3-compatible stores that have no conditional writes."""


def create(storage: Storage, key: str, content: bytes) -> bool:
    """Write a file that must not exist yet; at most one of several writers succeeds.

    If a store has no conditional writes, the file is looked for first, and two writers may both succeed.

    Returns:
        True if the file was written. If the answer of the store was lost, this may be False although it was.
    """
    path = storage.path(key)
    with explained(storage.name, "write"):
        try:
            storage.filesystem.pipe_file(path, content, mode="create")
        except FileExistsError:
            return False
        except (TypeError, NotImplementedError):
            return _create_after_looking(storage, key, content)
        except OSError as error:
            if error_code(error) in _REFUSED:
                return False
            if error_code(error) in _UNKNOWN:
                return _create_after_looking(storage, key, content)
            raise
    return True


def version(storage: Storage, key: str) -> str | None:
    """Return the ETag of a file, which changes whenever it is written; None if there is no file, empty if unknown."""
    path = storage.path(key)
    try:
        with explained(storage.name, "read"):
            storage.filesystem.invalidate_cache(path)
            return str(storage.filesystem.info(path).get("ETag", ""))
    except (FileNotFoundError, NotADirectoryError):
        return None


def replace(storage: Storage, key: str, content: bytes, seen: str) -> bool:
    """Replace a file if it still has the version that was seen.

    If a store has no conditional writes, the last of several writers wins; the others notice at their next look.

    Returns:
        True if the file was written. If the answer of the store was lost, this may be False although it was.
    """
    path = storage.path(key)
    condition = {"IfMatch": seen} if seen and "s3" in np.atleast_1d(storage.filesystem.protocol) else {}
    with explained(storage.name, "write"):
        try:
            storage.filesystem.pipe_file(path, content, **condition)
        except FileNotFoundError:
            if condition:
                return False
            raise
        except OSError as error:
            if error_code(error) in _REFUSED:
                return False
            if error_code(error) not in _UNKNOWN:
                raise
            storage.filesystem.pipe_file(path, content)
    return True


def _create_after_looking(storage: Storage, key: str, content: bytes) -> bool:
    if storage.filesystem.exists(storage.path(key)):
        return False
    storage.filesystem.pipe_file(storage.path(key), content)
    return True
