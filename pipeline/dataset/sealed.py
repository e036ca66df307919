"""JSON files that hold their own checksum, so that any changed bit is noticed.

The checksum, in the field `file_sha256`, is the SHA-256 of the file's bytes with that field's 64 digits set to zero.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

FIELD = "file_sha256"
UNSEALED = "0" * 64
_SEAL = re.compile(rb'("file_sha256": ")([0-9a-f]{64})"')


def seal(content: bytes) -> bytes:
    """Return a JSON file with its checksum in place of `UNSEALED`, which the field `FIELD` has to hold."""
    checksum = hashlib.sha256(content).hexdigest().encode()
    sealed, places = _SEAL.subn(rb"\g<1>" + checksum + b'"', content)
    assert places == 1, f"{places} fields {FIELD}"
    return sealed


def sealed_json(values: dict[str, Any]) -> bytes:
    """Return values as a JSON file with its checksum."""
    return seal(json.dumps({**values, FIELD: UNSEALED}, indent=1, ensure_ascii=False).encode())


def is_intact(content: bytes) -> bool:
    """Return whether a file agrees with the checksum in it."""
    found = _SEAL.findall(content)
    if len(found) != 1:
        return False
    zeroed = _SEAL.sub(rb"\g<1>" + UNSEALED.encode() + b'"', content)
    return bool(hashlib.sha256(zeroed).hexdigest().encode() == found[0][1])
