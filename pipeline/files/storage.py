"""Files below an fsspec URL, local or in an object store: atomic writes, and failures explained in one sentence."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import fsspec

from pipeline.errors import PipelineError, installation_of
from pipeline.files.hub import HubRepository
from pipeline.files.regular_files import read_file
from pipeline.files.whole_files import write_whole
from pipeline.redaction import has_slash_in_password, redact, remember, without_credentials

log = logging.getLogger("pipeline.files.storage")

FILES_OF_A_COMMIT = 50
_OUT_OF_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_TRANSIENT = {errno.EBUSY, errno.EIO, getattr(errno, "EREMOTEIO", errno.EIO), errno.ETIMEDOUT, errno.ECONNRESET}
# Packages of clients of stores; their errors count as errors of the store even if they are no OSError.
_CLIENTS = {"botocore", "aiobotocore", "aiohttp", "fsspec", "s3fs", "gcsfs", "adlfs"}
_CLIENTS |= {"huggingface_hub", "httpx", "httpx2", "requests"}


class Storage:
    """All files below a URL; a key is a path relative to it, with `/`.

    Attributes:
        name: the URL without credentials, for messages.
        root: path of the place in its file system.
        is_local: True for a folder of this machine.
        hub: the repository, if the place is on the Hugging Face Hub.
        files_at_once: number of files to give to `write_together`; more than one where each write is a commit.

    Raises:
        PipelineError: unknown kind of URL, no credentials, no permission, no room, or the store keeps failing.
    """

    def __init__(self, url: str) -> None:
        self.name = without_credentials(url)
        self.filesystem, self.root = open_filesystem(url)
        protocols = _protocols(self.filesystem)
        self.is_local, self.is_http = "file" in protocols, "http" in protocols
        self._was_there = False
        self.hub = HubRepository(self.filesystem, self.root) if "hf" in protocols else None
        self.files_at_once = FILES_OF_A_COMMIT if self.hub else 1

    def read(self, key: str) -> bytes:
        """Return the content of a file.

        Raises:
            FileNotFoundError: there is no such file.
        """
        with explained(self.name, "read"):
            if self.is_local:
                return read_file(self.path(key), limit=None)
            content: bytes = self.filesystem.cat_file(self.path(key))
        return content

    def read_if_there(self, key: str) -> bytes | None:
        """Return the content of a file, or None if there is no such file."""
        try:
            return self.read(key)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, key: str, content: bytes) -> None:
        """Write a file atomically: by rename on a local file system, by PUT elsewhere."""
        with explained(self.name, "write"):
            if self.is_local:
                final = Path(self.path(key))
                self._make_folders(final.parent)
                write_whole(final, content)
            else:
                self.filesystem.pipe_file(self.path(key), content)

    def write_together(self, files: Mapping[str, bytes]) -> None:
        """Write several files, in one commit on the Hugging Face Hub and one by one elsewhere."""
        for key in files:
            self.path(key)  # refuses keys that lead out of the place
        if self.hub:
            with explained(self.name, "write"):
                self.hub.write(files)
            return
        for key, content in files.items():
            self.write(key, content)

    def delete(self, key: str) -> None:
        """Remove a file if it exists."""
        with explained(self.name, "write"), suppress(FileNotFoundError, NotADirectoryError):
            if self.hub and self.filesystem.exists(self.path(key)):
                self.hub.delete(key)
            elif not self.hub:
                self.filesystem.rm_file(self.path(key))

    def names(self, folder: str = "") -> list[str]:
        """Return the names in a folder, without those of its subfolders; empty if there is no such folder."""
        path = self.path(folder)
        try:
            with explained(self.name, "list"):
                self.filesystem.invalidate_cache(path)
                names = sorted(name for p in self.filesystem.ls(path, detail=False) if (name := Path(p).name))
        except (FileNotFoundError, NotADirectoryError):
            return []
        # Links on the page of a web server are encoded, and some of them sort the page.
        return [unquote(name) for name in names if "?" not in name] if self.is_http else names

    def has(self, key: str) -> bool:
        """Return whether a file exists."""
        try:
            with explained(self.name, "read"):
                self.filesystem.info(self.path(key))
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def sizes(self) -> dict[str, int]:
        """Return key -> size in bytes of every file."""
        try:
            with explained(self.name, "list"):
                self.filesystem.invalidate_cache(self.root)
                found = self.filesystem.find(self.root, detail=True)
        except FileNotFoundError:
            return {}
        prefix = f"{self.root.rstrip('/')}/"
        sizes = {path.removeprefix(prefix): int(entry["size"] or 0) for path, entry in sorted(found.items())}
        return {unquote(key): size for key, size in sizes.items() if "?" not in key} if self.is_http else sizes

    def is_there(self) -> bool:
        """Return whether anything is at the URL."""
        is_there = False
        with suppress(FileNotFoundError), explained(self.name, "read"):
            self.filesystem.invalidate_cache(self.root)
            # Not fsspec's `exists` for a local path, which takes Ctrl-C for an absent file.
            is_there = os.path.lexists(self.root) if self.is_local else bool(self.filesystem.exists(self.root))
            if self.is_http and not is_there:
                self.filesystem.cat_file(self.root)  # fails if the server does not answer
        self._was_there |= is_there
        return is_there

    def is_file(self) -> bool:
        """Return whether the URL is that of a file."""
        with explained(self.name, "read"):
            if self.is_local:
                return Path(self.root).exists() and not Path(self.root).is_dir()  # devices count as files
            if self.is_http:
                return not self.names()  # a folder is a page of links there
            return bool(self.filesystem.isfile(self.root))

    def _make_folders(self, folder: Path) -> None:
        """Make a local folder at or below the root. The root itself is made only once."""
        root = Path(self.root)
        if not self._was_there:
            root.mkdir(parents=True, exist_ok=True)
            self._was_there = True
        elif not root.is_dir():
            raise PipelineError(
                f"{self.name} is gone: it was deleted or moved while this command was writing to it. What was in it is "
                "lost with it; run the same command again to make it anew."
            )
        if not folder.is_dir():
            for parent in (*reversed(folder.relative_to(root).parents[:-1]), folder.relative_to(root)):
                (root / parent).mkdir(exist_ok=True)  # fails where the root has gone a moment ago

    def refuse_overlap(self, other: Storage) -> None:
        """Refuse another place that contains this one or lies in it.

        Raises:
            PipelineError: the places overlap.
        """
        if type(self.filesystem) is not type(other.filesystem):
            return
        roots = [os.path.realpath(place.root) if place.is_local else place.root for place in (self, other)]
        first, second = (f"{root.rstrip('/')}/" for root in roots)
        if first.startswith(second) or second.startswith(first):
            raise PipelineError(
                f"{self.name} and {other.name} are the same place, or one lies in the other. Choose another one."
            )

    def path(self, key: str) -> str:
        """Return the path of a key in the file system.

        Raises:
            PipelineError: the key does not name a file below this place.
        """
        if key and not is_plain_key(key):
            raise PipelineError(
                f"{self.name}: {key!r} leads out of this place or is no path in it; expected one such as "
                "flow/zarr.json. The dataset is damaged, or was made to do harm: do not use it."
            )
        return f"{self.root.rstrip('/')}/{key}" if key else self.root


def is_plain_key(key: str) -> bool:
    """Return whether a key is a relative path without `..`, scheme, leading `/` or empty parts."""
    return "\0" not in key and not {"", ".", ".."} & set(key.split("/"))


def open_filesystem(url: str) -> tuple[Any, str]:
    """Return the file system of a URL and the path in it.

    Raises:
        PipelineError: the kind of URL is unknown, or its library is not installed.
    """
    if not url:
        raise PipelineError("An empty path is given; expected a folder or a URL.")
    remember(url)
    if has_slash_in_password(url):
        raise PipelineError(f"{without_credentials(url)}: the password in this URL holds a '/'. Write it as %2F.")
    try:
        filesystem, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError, OSError) as error:
        protocol = url.partition("://")[0]
        repair = installation_of("s3") if protocol == "s3" else "Check the URL."
        raise PipelineError(f"{without_credentials(url)} cannot be opened ({error}). {repair}") from None
    if "s3" in _protocols(filesystem):
        _be_patient_with_s3()
    return filesystem, path


def _protocols(filesystem: Any) -> tuple[str, ...]:
    """Return the schemes of the URLs of a file system."""
    protocol = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


@contextmanager
def explained(name: str, doing: str) -> Iterator[None]:
    """Turn an error of the system or of a store's client into a sentence with a repair.

    `FileExistsError` passes, and so does `FileNotFoundError` unless the missing place was to be written to. Neither the
    error nor its cause holds a password.
    """
    try:
        yield
    except FileExistsError:
        raise
    except Exception as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError) and doing != "write":
            raise FileNotFoundError(f"{name}: {redact(str(error))}") from None
        if isinstance(error, NotImplementedError) and doing == "write":
            raise PipelineError(f"{name}: places of this kind cannot be written to. Choose another one.") from None
        if isinstance(error, PipelineError) or not is_of_store(error):
            raise
        if isinstance(error, OSError) and error.errno in _OUT_OF_SPACE:
            raise PipelineError(
                f"{name}: no space left. Make room and run the same command again: it resumes."
            ) from error
        sentence = str(error) or type(error).__name__
        raise PipelineError(
            f"{name}: cannot {doing} ({sentence}). Repair this and run the same command again: it resumes."
        ) from (error if redact(sentence) == sentence else None)


def is_of_store(error: Exception) -> bool:
    """Return whether an error comes from the system or from the client of a store, not from a mistake in this code."""
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in _CLIENTS


def is_transient(error: Exception) -> bool:
    """Return whether an error of a store is likely to pass: overload, time-outs, broken connections."""
    if isinstance(error, FileNotFoundError | FileExistsError | PermissionError):
        return False
    if isinstance(error, TimeoutError | ConnectionError):
        return True
    if isinstance(error, OSError):
        return error.errno in _TRANSIENT
    return is_of_store(error) and "Credentials" not in type(error).__name__


def _be_patient_with_s3() -> None:
    """Let s3fs repeat requests that botocore gives up on, and log it; s3fs limits the number of repetitions."""
    import s3fs.core
    from botocore.exceptions import ClientError

    def is_worth_repeating(error: Exception) -> bool:
        if isinstance(error, ClientError):
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            again = status >= 500 or status in (408, 429) or error_code(error) == "InternalError"
        else:
            again = is_transient(error)
        if again:
            log.warning("the object store fails (%s); trying again", redact(str(error)))
        return again

    s3fs.core.set_custom_error_handler(is_worth_repeating)


def error_code(error: Exception) -> str:
    """Return the code that S3 gives an error, such as `SlowDown`; empty for other errors."""
    response = getattr(error, "response", None) or getattr(error.__cause__, "response", None) or {}
    code: str = response.get("Error", {}).get("Code", "")
    return code
