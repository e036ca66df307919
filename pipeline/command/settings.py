"""Settings of commands: one frozen dataclass holds a command's defaults, help texts and limits."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

SHOWN = "shown"
"""Key of a field's metadata under which its `Shown` is found."""


@dataclass(frozen=True)
class Shown:
    """How a field appears on the command line.

    Args:
        help: a full phrase that stands alone, with the unit.
        panel: heading under which the help page lists the option.
        flag: the option's name where it is not that of the field, such as `--json`.
        unset: what holds where the field is None, in words, for the help page.
        at_least: smallest allowed value.
        is_argument: whether the value is given by its position, without a name.
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
    """Return a field like one of another settings class: the same default, help and limit, written down once."""
    (one,) = (one for one in fields(settings) if one.name == name)
    return field(default=one.default, metadata=one.metadata)


def option_name(name: str, shown: Shown | None = None) -> str:
    """Return the command-line name of a field."""
    return (shown and shown.flag) or f"--{name.replace('_', '-')}"


def check_limits(settings: Any, error: type[Exception]) -> None:
    """Raise `error` if a value lies below the `at_least` of its field.

    Call it from `__post_init__`: files of settings and Python callers are checked as command lines are.
    """
    for one in fields(settings):
        shown, value = one.metadata.get(SHOWN), getattr(settings, one.name)
        if shown and shown.at_least is not None and value is not None and value < shown.at_least:
            raise error(f"{option_name(one.name, shown)} is {value}; expected at least {shown.at_least}.")
