"""Credentials stay out of everything that is printed or stored."""

from __future__ import annotations

import os
import re

_SECRET_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_KEY",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
)
_SHORTEST_SECRET = 8  # shorter values may be parts of common words
_USER_IN_URL = re.compile(r"(?<=://)[^/@\s]+@")
_SECRET_IN_QUERY = re.compile(r"(?i)([?&](?:[\w-]*(?:signature|credential|token|secret|key)[\w-]*|sig))=[^&\s]+")


def redact(text: str) -> str:
    """Return a text without passwords in URLs, signed queries, and the values of the environment's credentials."""
    text = _SECRET_IN_QUERY.sub(r"\1=***", _USER_IN_URL.sub("***@", text))
    for variable in _SECRET_VARIABLES:
        secret = os.environ.get(variable, "")
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return text
