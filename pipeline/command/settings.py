"""Settings of commands: one frozen dataclass holds the defaults, help texts and limits of a command."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

SHOWN = "shown"
"""Key of the `Shown` in the metadata of a field."""


@dataclass(frozen=True)
class Shown:
    """Appearance of a field on the command line.

    Args:
        help: a full phrase that stands alone, with the unit.
        panel: heading under which the help page lists the option.
        flag: name of the option if it differs from that of the field, such as `--json`.
        unset: meaning of None in words, for the help page.
        at_least: smallest allowed value.
        is_argument: True if the value is given by its position, without a name.
    """

    help: str
    panel: str = "Options"
    flag: str = ""
    unset: str = ""
    at_least: int | None = None
    is_argument: bool = False


def setting(
    help_text: str,
    panel: str = "Options",
    *,
    flag: str = "",
    unset: str = "",
    at_least: int | None = None,
    **default: Any,
) -> Any:
    """Return a dataclass field that is a command-line option; see `Shown`. Without a default it is required."""
    return field(metadata={SHOWN: Shown(help_text, panel, flag, unset, at_least)}, **default)


def argument(help_text: str, **default: Any) -> Any:
    """Return a dataclass field that is a positional argument of a command."""
    return field(metadata={SHOWN: Shown(help_text, is_argument=True)}, **default)


def setting_of(settings: type, name: str) -> Any:
    """Return a field with the default, help text and limit of a field of another settings class."""
    (one,) = (one for one in fields(settings) if one.name == name)
    return field(default=one.default, metadata=one.metadata)


def option_name(name: str, shown: Shown | None = None) -> str:
    """Return the command-line name of a field."""
    return (shown and shown.flag) or f"--{name.replace('_', '-')}"


def check_limits(settings: Any, error: type[Exception]) -> None:
    """Raise `error` if a value lies below the `at_least` of its field.

    Call it from `__post_init__`, so that files of settings and calls from Python are checked like command lines.
    """
    for one in fields(settings):
        shown, value = one.metadata.get(SHOWN), getattr(settings, one.name)
        if shown and shown.at_least is not None and value is not None and value < shown.at_least:
            raise error(f"{option_name(one.name, shown)} is {value}; expected at least {shown.at_least}.")
