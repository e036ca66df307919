"""Which ids and file names can be printed and be files' names as they are, and how others are shown."""

from __future__ import annotations

import re

# Control characters, what begins a new line or turns the direction of writing, halves of characters.
_UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def is_plain(name: str) -> bool:
    """Tell whether a name is not empty, and free of control characters, line breaks and turns of direction."""
    return bool(name) and not _UNSHOWABLE.search(name)


def shown(text: str) -> str:
    """Return a text of one line as it can be printed: what `is_plain` does not allow is escaped."""
    return _UNSHOWABLE.sub(lambda found: ascii(found.group())[1:-1], text)
