"""Refusals of URLs where a local folder is needed, of outputs that keep nothing, and of files that would be lost."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.errors import PipelineError

_URL = re.compile(r"([A-Za-z][\w+.-]+):/{1,2}(?!/)|.*::")  # `Path` turns two slashes into one


def refuse_url(place: str) -> None:
    """Refuse a URL where a file or folder of this machine is needed.

    Raises:
        PipelineError: the place is a URL.
    """
    if match := _URL.match(place):
        whole = place.replace(":/", "://", 1) if match[1] and "://" not in place else place
        raise PipelineError(f"{whole} is a URL; expected a file or folder on this machine here.")


def refuse_as_output(place: str) -> None:
    """Refuse a place that cannot keep a dataset beyond the command that makes it.

    Raises:
        PipelineError: the place is in memory, is read-only, or is a chain of URLs.
    """
    if "::" in place:
        raise PipelineError(f"{place} is a chain of URLs, which can only be read; expected a folder or one URL here.")
    scheme = place.partition("://")[0]
    if scheme == "memory":
        raise PipelineError(
            f"{place} ends with this command and keeps nothing; expected a folder or the URL of a store."
        )
    if scheme in ("http", "https", "github"):
        raise PipelineError(f"{place} can only be read; expected a folder or the URL of an object store here.")


def refuse_other_file(place: str | Path, mark: bytes, title: str) -> None:
    """Refuse to replace a local file that the same command did not write.

    Args:
        place: path to be written, or a URL, where nothing is refused.
        mark: bytes in the first 100 of every file that the command writes.
        title: what the command writes, for the message.

    Raises:
        PipelineError: another file is there.
    """
    if isinstance(place, str) and _URL.match(place):
        return
    if not Path(place).is_file():
        return
    with Path(place).open("rb") as file:
        if mark in file.read(100).lower():
            return
    raise PipelineError(f"{place} is a file that is no {title}, and would be lost; choose another name, or remove it.")
