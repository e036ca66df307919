"""Fixtures of the tests of scoring."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from segmentation import cli
from tests.segmentation import trees
from tests.segmentation.score_command import Score


@pytest.fixture
def score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Score:
    """Run the command; return exit code or error message, JSON and what was printed."""

    def run(dataset: str, root: Path, predictions: Path, *more: str) -> tuple[int | str | None, dict[str, Any], str]:
        out = tmp_path / "scores.json"
        arguments = ["--dataset", dataset, "--root", str(root), "--predictions", str(predictions), "--json", str(out)]
        monkeypatch.setattr(sys, "argv", ["segmentation", "score", *arguments, *more])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        return stopped.value.code, json.loads(out.read_text()) if out.exists() else {}, printed.out + printed.err

    return run


@pytest.fixture
def davis(tmp_path: Path) -> Path:
    trees.davis16(tmp_path / "DAVIS")
    return tmp_path / "DAVIS"
