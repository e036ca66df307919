"""Commands of `segmentation` as users run them: types of the fixtures, and their refusals."""

from __future__ import annotations

from collections.abc import Callable

Outcome = tuple[int | str | None, str]
"""Exit code or error message, and everything that was printed."""
Command = Callable[..., Outcome]
"""Runs a command and returns its outcome."""


def refusal(code: int | str | None) -> str:
    """Return the error message of a command; fail if it is not one sentence on one line."""
    assert isinstance(code, str), f"expected an error, got exit code {code}"
    assert code.startswith("error: ")
    assert "\n" not in code
    return code
