"""Redaction of credentials in everything that leaves the process.

Credentials are known by their values: the passwords of all given URLs (`remember`) and the credentials in the
environment. They are removed where text leaves the process: from the streams of a command (`redact_output`), from the
text of our own errors, and from plain values before they are written (`redacted`).
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
from base64 import b64encode
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, TextIO
from urllib.parse import unquote

HIDDEN = "***"
_SECRET_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_KEY",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
)
_SHORTEST_ANYWHERE = 8
"""Length from which secrets are hidden anywhere; shorter ones may be parts of words and are hidden as whole words."""
_SHORTEST_SECRET, _SHORTEST_PART, _SHORTEST_TOKEN = 2, 4, 12
"""Lengths from which a password, a part of one between `/` and `@`, and a user name (probably a token) are hidden
everywhere; shorter ones are hidden only within a URL."""
_SCHEME = re.compile(r"[A-Za-z][\w+.-]*:/{1,2}(?!/)")  # one slash is what `Path` leaves of two
_CHAINED = re.compile(r"::(?=[\w+.-]+:/)")  # as in simplecache::s3://bucket
_PORT = re.compile(r"\d+")
_USER_IN_TEXT = re.compile(
    r"(?<=://)[^/\s]+@"  # user:password@
    r"|(?<=://)[^/\s:@]+:(?!\d+/)\S+@"  # the same, with slashes in the password
    r"|(?<=[A-Za-z\d]:/)[^/\s:@]+:[^/\s]+@"  # the same behind the one slash that `Path` leaves
)
_SECRET_IN_QUERY = re.compile(
    r"(?i)([?&](?:[\w-]*(?:signature|credential|token|secret|key|password)[\w-]*|sig))=([^&\s]+)"
)

_remembered: set[str] = set()


def remember(*words: str) -> None:
    """Hide the credentials of the URLs in some words of a command line from now on."""
    for word in words:
        _remembered.update(_secrets_of(word))


def remembered() -> tuple[str, ...]:
    """Return the secrets that are hidden by value, for a worker in another process."""
    return tuple(sorted(_remembered))


def hide(secrets: tuple[str, ...]) -> None:
    """Hide the secrets that `remembered` returned in another process."""
    _remembered.update(secrets)


def redact(text: str) -> str:
    """Return a text without remembered secrets, credentials of the environment, and other passwords in URLs."""
    environment = (os.environ.get(variable, "") for variable in _SECRET_VARIABLES)
    secrets = _remembered.union(secret for secret in environment if len(secret) >= _SHORTEST_ANYWHERE)
    if secrets:
        text = _pattern(frozenset(secrets)).sub(HIDDEN, text)
    return _SECRET_IN_QUERY.sub(rf"\1={HIDDEN}", _USER_IN_TEXT.sub(f"{HIDDEN}@", text))


def redacted(values: Any) -> Any:
    """Return plain values, as in JSON, with every string redacted; keys stay as they are."""
    if isinstance(values, str):
        return redact(values)
    if isinstance(values, dict):
        return {key: redacted(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [redacted(value) for value in values]
    return values


def without_credentials(url: str) -> str:
    """Return a URL without its user, password and signed query; the password may have any characters."""
    for start, rest in reversed(list(_rests(url))):
        if user := _user_of(rest):
            url = f"{url[:start]}{HIDDEN}{url[start + len(user) :]}"
    return _SECRET_IN_QUERY.sub(rf"\1={HIDDEN}", url)


def has_slash_in_password(url: str) -> bool:
    """Return whether the password of a URL has a `/`, at which readers of URLs would cut it off."""
    return any("/" in (_user_of(rest) or "") for _, rest in _rests(url))


def redact_output(words: Sequence[str] = ()) -> None:
    """Redact everything that this process writes to standard output and error from now on.

    This includes prints, warnings, logs and tracebacks.

    Args:
        words: words of the command line; the secrets of the URLs in them are hidden.
    """
    remember(*words)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not hasattr(stream, "buffer") or isinstance(stream.buffer, _RedactedBytes):
            continue
        stream.flush()
        output: Any = _RedactedBytes(stream)
        text = io.TextIOWrapper(output, encoding=stream.encoding, errors=stream.errors, line_buffering=True)
        setattr(sys, name, text)


class _RedactedBytes(io.RawIOBase):
    """Writes text to the bytes of another stream, without its secrets."""

    def __init__(self, text: TextIO) -> None:
        self._text = text  # kept, because its bytes are closed when it is collected
        self._stream = text.buffer

    def write(self, content: Any) -> int:
        text = bytes(content).decode("utf-8", "surrogateescape")
        self._stream.write(redact(text).encode("utf-8", "surrogateescape"))
        return len(content)

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        if not self._stream.closed:
            self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def close(self) -> None:
        """Leave the other stream open, which is not ours."""


def _rests(word: str) -> Iterator[tuple[int, str]]:
    """Yield the rest of each URL in a word after its scheme, with its position."""
    for match in _SCHEME.finditer(word):
        yield match.end(), _CHAINED.split(word[match.end() :], maxsplit=1)[0]


def _user_of(rest: str) -> str | None:
    """Return `user:password` from the rest of a URL after its scheme; None if there is none."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in authority:
        return authority.rpartition("@")[0]
    _, colon, port = authority.partition(":")
    if colon and not _PORT.fullmatch(port) and "@" in rest:  # the password has a slash
        return rest.rpartition("@")[0]
    return None


def _secrets_of(word: str) -> Iterator[str]:
    """Yield the secrets of the URLs in a word, for every possible reading of the URLs."""
    for _, rest in _rests(word):
        for at in re.finditer("@", rest):
            user, colon, password = rest[: at.start()].partition(":")
            parts = re.split("[/@]", password)
            yield from (secret for secret in (password, re.sub("/+", "/", password)) if len(secret) >= _SHORTEST_SECRET)
            yield from (part for part in parts if len(part) >= _SHORTEST_PART)
            if "/" not in user and len(user) >= _SHORTEST_TOKEN:
                yield user
            if colon:
                yield b64encode(f"{user}:{password}".encode("utf-8", "surrogateescape")).decode()
    for match in _SECRET_IN_QUERY.finditer(word):
        if len(match[2]) >= _SHORTEST_PART:
            yield match[2]


@lru_cache(maxsize=8)
def _pattern(secrets: frozenset[str]) -> re.Pattern[str]:
    """Return a pattern of some secrets, as they are or percent-decoded, the longest first."""
    forms = {form for secret in secrets for form in (secret, unquote(secret))}
    return re.compile("|".join(_in_any_writing(form) for form in sorted(forms, key=len, reverse=True)))


def _in_any_writing(secret: str) -> str:
    """Return a pattern of a secret whose characters may be percent-encoded, or escaped as by `repr` and JSON."""
    characters = []
    for character in secret:
        encoded = "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogateescape"))
        ways = [re.escape(character), f"(?i:{encoded})"]
        if character in "\\'\"":
            ways.append(r"\\+" + re.escape(character))
        if character == " ":
            ways.append(r"\+")
        if not character.isascii():
            escapes = ascii(character)[1:-1], json.dumps(character)[1:-1]
            ways += (f"(?i:{re.escape(escape)})" for escape in escapes)
        characters.append(f"(?:{'|'.join(ways)})")
    pattern = "".join(characters)
    return pattern if len(secret) >= _SHORTEST_ANYWHERE else rf"(?<!\w){pattern}(?!\w)"
