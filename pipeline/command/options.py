"""Command lines of `pipeline` and `segmentation`: help pages, a clean stop, options from settings classes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, Field, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from pipeline.command.settings import SHOWN, Shown, option_name
from pipeline.command.stopping import INTERRUPTED, STOPPED, silence_what_breaks_off, stopped_by_signals
from pipeline.files.places import refuse_url

Command = TypeVar("Command", bound=Callable[..., Any])
Settings = TypeVar("Settings")
PROMPT = "$ "


def make_app(words: str, aliases: Mapping[str, str] | None = None) -> Program:
    """Return a program of several commands.

    Args:
        words: purpose of the program, for its help page.
        aliases: names of commands by further names, which work but are not listed.
    """
    app = Program(
        cls=type("Group", (_Group,), {"aliases": aliases or {}}),
        help=words,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # help texts contain brackets
    )

    @app.callback()
    def program(
        version: Annotated[
            bool, typer.Option("--version", help="Show the version and exit.", callback=_tell_version, is_eager=True)
        ] = False,
    ) -> None:
        pass

    return app


def _tell_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        typer.echo(f"fakeflow {version('fakeflow')}")
        raise typer.Exit()


class _Group(TyperGroup):
    """Commands, some of which have a second name."""

    aliases: Mapping[str, str] = {}

    def get_command(self, ctx: Any, name: str) -> Any:
        return super().get_command(ctx, self.aliases.get(name, name))


class _Command(TyperCommand):
    """A command whose help page lists options under the headings of their panels, and examples at its end."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        panels: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                is_argument = parameter.param_type_name == "argument"
                panel = "Arguments" if is_argument else getattr(parameter, "rich_help_panel", None) or "Options"
                panels.setdefault(panel, []).append(record)
        for panel in sorted(panels, key=lambda name: (name != "Arguments", name != "Input", name == "Options")):
            with formatter.section(panel):
                formatter.write_dl(panels[panel])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        lines = [line.removeprefix(PROMPT) for line in (self.epilog or "").splitlines() if line.startswith(PROMPT)]
        if lines:
            with formatter.section("Examples"):
                formatter.write("".join(f"{'':{formatter.current_indent}}{line}\n" for line in lines))


class Program(typer.Typer):
    """A program that refuses URLs as values of type `Path`, and whose commands end cleanly at Ctrl-C and SIGTERM.

    `Path` would take a URL for a relative path.
    """

    def command(self, *about: Any, examples: tuple[str, ...] = (), **more: Any) -> Callable[[Command], Command]:
        """Register a command; `examples` are command lines for its help page."""
        if examples:  # Markdown, as the documentation needs it
            lines = "\n".join(f"{PROMPT}{example}" for example in examples)
            more["epilog"] = f"**Examples**:\n\n```console\n{lines}\n```"
        register = super().command(*about, cls=_Command, **more)

        def register_checked(command: Command) -> Command:
            @wraps(command)
            def checked(**given: Any) -> None:
                for value in given.values():
                    for place in value if isinstance(value, list) else [value]:
                        if isinstance(place, Path):
                            refuse_url(str(place))
                with _stoppable():
                    command(**given)

            register(checked)
            return command

        return register_checked


@contextmanager
def _stoppable() -> Iterator[None]:
    """End a command with a sentence and an exit code of its own at Ctrl-C and SIGTERM."""
    with stopped_by_signals():
        try:
            yield
        except KeyboardInterrupt:
            silence_what_breaks_off()  # again, as the code that was stopped may have restored its warnings
            typer.echo(STOPPED, err=True)
            raise typer.Exit(INTERRUPTED) from None


def takes(settings: type[Settings]) -> Callable[[Callable[[Settings], None]], Callable[..., None]]:
    """Give a command the options and arguments of a settings class; it is called with an object of this class."""

    def decorate(command: Callable[[Settings], None]) -> Callable[..., None]:
        @wraps(command)
        def called(**given: Any) -> None:
            command(settings(**given_alone(given)))

        called.__signature__ = inspect.Signature(_parameters(settings))  # type: ignore[attr-defined]
        return called

    return decorate


def options_of(settings: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of a settings class in addition to its own; it gets them as `**given`.

    An option that is not given is None. No option is required, because such commands may read settings from a file too.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.kind is not p.VAR_KEYWORD]
        parameters = [*own, *_parameters(settings, may_require=False)]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return command

    return decorate


def given_alone(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that were given on the command line; repeated options become tuples."""
    named = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    return {name: value for name, value in named.items() if value is not None and value != ()}


def _parameters(settings: Any, may_require: bool = True) -> list[inspect.Parameter]:
    hints = get_type_hints(settings)
    shown = [(one, one.metadata[SHOWN]) for one in fields(settings) if SHOWN in one.metadata]
    return [_parameter(one, hints[one.name], how, may_require) for one, how in shown]


def _parameter(one: Field[Any], hint: Any, how: Shown, may_require: bool) -> inspect.Parameter:
    text = f"{how.help}{_remarks(one, how)}"
    is_required = may_require and one.default is MISSING and one.default_factory is MISSING
    if how.is_argument:
        about: Any = typer.Argument(help=text, show_default=False)
    else:
        about = typer.Option(option_name(one.name, how), help=text, rich_help_panel=how.panel, show_default=False)
    if get_origin(hint) is tuple:
        hint = list[get_args(hint)[0]]  # type: ignore[misc]
    return inspect.Parameter(
        one.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if is_required else None,
        annotation=Annotated[hint if is_required else hint | None, about],
    )


def _remarks(one: Field[Any], how: Shown) -> str:
    """Return default and limit of an option in brackets, for the help page."""
    default = how.unset if one.default in (MISSING, None, "", ()) or one.default is False else one.default
    remarks = [f"default: {default}"] if default != "" else []
    remarks += [f"at least {how.at_least}"] if how.at_least else []  # "at least 0" is not worth a remark
    return f"  [{'; '.join(remarks)}]" if remarks else ""
