"""Folders of photos in any file system: their names, and which of these are images."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

import fsspec
from fsspec.implementations.local import LocalFileSystem

from pipeline.errors import InputError, PipelineError
from pipeline.files.ids import is_plain, shown
from pipeline.files.storage import open_filesystem

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"})
_IGNORED_NAMES = frozenset({"thumbs.db", "desktop.ini"})
_LISTED = 3  # names shown in a message before "and n more"


@dataclass(frozen=True)
class Folder:
    """A folder in any file system that fsspec knows.

    Attributes:
        url: absolute path of a local folder, or URL.
        file_system: file system that the folder is in.
        path: path of the folder in this file system.
    """

    url: str
    file_system: fsspec.AbstractFileSystem
    path: str

    @classmethod
    def at(cls, url: str) -> Folder:
        """Return the folder at a path or URL."""
        try:
            file_system, path = open_filesystem(url)
        except PipelineError as error:
            raise InputError(str(error)) from None
        is_local = isinstance(file_system, LocalFileSystem)
        return cls(path if is_local else url.rstrip("/"), file_system, path)

    def child(self, name: str) -> Folder:
        """Return the folder of a name in this one."""
        return Folder(f"{self.url}/{name}", self.file_system, f"{self.path}/{name}")

    def names(self) -> list[str]:
        """Return the names in the folder, without hidden files and files of the operating system.

        The file system is called once, not once for each file.

        Raises:
            InputError: the folder does not exist or cannot be listed.
        """
        try:
            paths = [path.rstrip("/") for path in self.file_system.ls(self.path, detail=False)]
        except FileNotFoundError as error:
            raise InputError(f"the folder {self.url} does not exist; expected photos there; check the path") from error
        except OSError as error:
            raise InputError(f"the folder {self.url} cannot be listed: {error.strerror or error}") from error
        except Exception as error:  # such as botocore's NoCredentialsError; clients of stores share no base class
            raise InputError(
                f"the folder {self.url} cannot be listed: {error}; check address and credentials"
            ) from error
        own = self.path.rstrip("/")
        if paths == [own] and self.file_system.isfile(own):
            raise InputError(f"{self.url} is a file; expected a folder")
        names = (path.rpartition("/")[2] for path in paths if path != own)
        return [name for name in names if not name.startswith(".") and name.lower() not in _IGNORED_NAMES]

    def __str__(self) -> str:
        return self.url


def is_image(name: str) -> bool:
    """Return whether a name is printable and has an extension of an image."""
    return posixpath.splitext(name)[1].lower() in EXTENSIONS and is_plain(name)


def some(names: Sequence[str]) -> str:
    """Return the first names of a list in words, and how many more there are."""
    listed = sorted(names)[:_LISTED]
    named = ", ".join(map(shown, listed))
    more = len(names) - len(listed)
    return f"{named} and {more} more" if more else named


def name_of(url: str) -> str:
    """Return the name of a file or folder at a path or URL; those of web servers are percent-decoded."""
    name = url.rpartition("/")[2]
    return unquote(name) if url.startswith(("http://", "https://")) else name
