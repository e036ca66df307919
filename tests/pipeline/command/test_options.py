"""Options come from settings classes: defaults, limits, headings and examples are on the help page."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import pytest
import typer
from typer.testing import CliRunner

from pipeline.command.options import make_app, options_of, takes
from pipeline.command.settings import argument, check_limits, setting
from pipeline.errors import PipelineError


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a made-up command."""

    place: str = argument("Folder or URL to read.")
    scale: float = setting("Values are scaled to [0, 1] times this.", "Values", default=1.0)
    seed: int = setting("Seed of the values.", "Values", at_least=0, default=0)
    side_px: int = setting("Side of the square, in pixels.", "Shape", at_least=8, default=64)
    limit: int | None = setting("Largest number of rows.", "Shape", unset="all", at_least=1, default=None)
    names: tuple[str, ...] = setting("Name of a row; may be repeated.", "Shape", unset="every row", default=())
    report_file: Path | None = setting("File to write.", "Output", flag="--json", default=None)
    label: str = setting("Text to add.", "Output", default="")
    pattern: str = setting("Names of files to read.", "Input", default="")
    is_quick: bool = setting("Leave the slow part out.", "Output", flag="--quick", default=False)

    def __post_init__(self) -> None:
        check_limits(self, PipelineError)


@dataclass(frozen=True, kw_only=True)
class Merged:
    """Settings that a file may give too."""

    output: str = setting("File to write.", "Output")
    mode: Literal["a", "b"] = setting("How it is written.", "Output", default="a")


EXAMPLE = "program draw photos --seed 3 --names a --names b"


def program() -> tuple[typer.Typer, list[Any]]:
    """Return a program and the list to which its commands add what they get."""
    app, got = make_app("A program.", aliases={"paint": "draw"}), []

    @app.command("draw", examples=(EXAMPLE,))
    @takes(Settings)
    def draw(settings: Settings) -> None:
        """Draw something."""
        got.append(settings)

    @app.command("merge")
    @options_of(Merged)
    def merge(config: str | None = None, **given: Any) -> None:
        """Merge something."""
        got.append((config, given))

    return app, got


def run(*arguments: str) -> tuple[Any, list[Any]]:
    app, got = program()
    return CliRunner().invoke(app, arguments, terminal_width=200), got


def test_a_help_page_lists_options_under_headings_with_defaults_limits_and_examples() -> None:
    page = run("draw", "--help")[0].output
    heads = [line for line in page.splitlines() if line and not line.startswith((" ", "Usage"))]
    assert heads == ["Arguments:", "Input:", "Values:", "Shape:", "Output:", "Options:", "Examples:"]
    lines = {words[0]: " ".join(words[1:]) for words in map(str.split, page.splitlines()) if words}
    assert lines["--scale"] == "<float> Values are scaled to [0, 1] times this. [default: 1.0]"
    assert lines["--seed"] == "<int> Seed of the values. [default: 0]"
    assert lines["--side-px"] == "<int> Side of the square, in pixels. [default: 64; at least 8]"
    assert lines["--limit"] == "<int> Largest number of rows. [default: all; at least 1]"
    assert lines["--names"].endswith("Name of a row; may be repeated. [default: every row]")
    assert lines["--json"] == "<path> File to write."
    assert lines["--label"] == "<str> Text to add."
    assert lines["--quick"] == "Leave the slow part out."
    assert lines["place"].endswith("Folder or URL to read. [required]")
    assert page.endswith(f"Examples:\n  {EXAMPLE}\n")


def test_a_command_gets_its_settings_with_the_defaults_of_their_class() -> None:
    assert run("draw", "photos")[1] == [Settings(place="photos")]
    _, got = run(*EXAMPLE.split()[1:], "--json", "out.json", "--quick")
    assert got == [Settings(place="photos", seed=3, names=("a", "b"), report_file=Path("out.json"), is_quick=True)]


def test_what_is_required_must_be_given_unless_another_source_may_give_it() -> None:
    done, got = run("draw")
    assert (done.exit_code, got) == (2, [])
    assert "Missing argument 'place'" in done.output
    _, got = run("merge", "--config", "file.toml")
    assert got == [("file.toml", {"output": None, "mode": None})]


@pytest.mark.parametrize(("flag", "value", "least"), [("--side-px", 7, 8), ("--limit", 0, 1), ("--seed", -1, 0)])
def test_a_value_below_its_limit_is_refused_in_one_sentence(flag: str, value: int, least: int) -> None:
    done, got = run("draw", "photos", flag, str(value))
    assert not got
    assert isinstance(done.exception, PipelineError)
    assert str(done.exception) == f"{flag} is {value}; expected at least {least}."
    assert run("draw", "photos", flag, str(least))[1]


def test_a_url_is_no_path_of_this_machine() -> None:
    done, got = run("draw", "photos", "--json", "s3://bucket/out.json")
    assert not got
    assert "s3://bucket/out.json" in str(done.exception)


def test_another_name_of_a_command_works_and_is_not_listed() -> None:
    assert run("paint", "photos")[1] == [Settings(place="photos")]
    page = run("--help")[0].output
    assert "draw" in page
    assert "paint" not in page


@pytest.mark.parametrize("program", ["pipeline", "segmentation"])
def test_a_program_tells_its_version(program: str) -> None:
    done = subprocess.run([sys.executable, "-m", f"{program}.cli", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"fakeflow {version('fakeflow')}\n")
