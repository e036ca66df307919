"""The fixture that runs commands of `segmentation`."""

from __future__ import annotations

import sys

import pytest

from segmentation import cli
from tests.segmentation.commands import Command, Outcome


@pytest.fixture
def segmentation(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `segmentation` with some arguments; return its outcome."""

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["segmentation", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        return stopped.value.code, printed.out + printed.err

    return run
