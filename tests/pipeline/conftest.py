"""The command `pipeline`, run in the process of the test."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from pipeline.cli import main


class Done(NamedTuple):
    """Exit status and output of a command."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def said(self) -> str:
        """All output."""
        return self.stdout + self.stderr


Command = Callable[..., Done]


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command as its console script does; other exceptions than SystemExit are raised."""

    def command(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["pipeline", *map(str, arguments)])
        capsys.readouterr()
        code: object = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        printed = capsys.readouterr()
        if isinstance(code, str):  # what sys.exit prints
            return Done(1, printed.out, f"{printed.err}{code}\n")
        assert isinstance(code, int)
        return Done(code, printed.out, printed.err)

    return command
