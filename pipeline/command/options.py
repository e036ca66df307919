"""What the commands of `pipeline` and `segmentation` share: their manners, a clean stop, options from settings."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_origin, get_type_hints

import typer

from pipeline.command.stopping import INTERRUPTED
from pipeline.files.places import refuse_url

Command = TypeVar("Command", bound=Callable[..., Any])


def make_app(words: str) -> typer.Typer:
    """Return a program of several commands; `words` say what it is for."""
    return _Program(
        help=words,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )


class _Program(typer.Typer):
    """Commands whose paths are files and folders of this machine: `Path` would take a URL for a relative one."""

    def command(self, *about: Any, **more: Any) -> Callable[[Command], Command]:
        """Register a command that refuses URLs given as paths."""
        register = super().command(*about, **more)

        def register_checked(command: Command) -> Command:
            @wraps(command)
            def checked(**given: Any) -> None:
                for value in given.values():
                    for place in value if isinstance(value, list) else [value]:
                        if isinstance(place, Path):
                            refuse_url(str(place))
                command(**given)

            register(checked)
            return command

        return register_checked


@contextmanager
def stoppable() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end a command with a sentence and its own exit code."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("Stopped. What is committed stays; the same command continues.", err=True)
        raise typer.Exit(INTERRUPTED) from None


def options_of(settings: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one option per field of a settings class, with help and default from there.

    Fields without help are no options.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(settings)
        parameters = []
        for setting in (one for one in fields(settings) if "help" in one.metadata):
            shown = "" if setting.default in (MISSING, None, False, (), "") else f" [default: {setting.default}]"
            flag = f"--{setting.name.replace('_', '-')}"
            option = typer.Option(flag, help=f"{setting.metadata['help']}{shown}", show_default=False)
            hint = list[str] if get_origin(hints[setting.name]) is tuple else hints[setting.name]
            parameters.append(
                inspect.Parameter(
                    setting.name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=None,
                    annotation=Annotated[hint | None, option],
                )
            )
        own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.kind is not p.VAR_KEYWORD]
        command.__signature__ = inspect.Signature(own + parameters)  # type: ignore[attr-defined]
        return command

    return decorate
