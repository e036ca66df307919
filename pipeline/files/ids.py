"""Ids and file names: a check that they can be printed and used as file names, and the escaping of others."""

from __future__ import annotations

import re

# Control characters, line breaks, changes of the writing direction, and lone surrogates.
_UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def is_plain(name: str) -> bool:
    """Return whether a name is not empty and has no control characters, line breaks or changes of direction."""
    return bool(name) and not _UNSHOWABLE.search(name)


def shown(text: str) -> str:
    """Return a text in printable form on one line; characters that `is_plain` does not allow are escaped."""
    return _UNSHOWABLE.sub(lambda found: ascii(found.group())[1:-1], text)
