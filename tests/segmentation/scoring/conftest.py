"""Fixtures of the tests of scoring."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.segmentation import trees
from tests.segmentation.commands import Command
from tests.segmentation.score_command import Score


@pytest.fixture
def score(segmentation: Command, tmp_path: Path) -> Score:
    """Run `segmentation score`; return exit code or error message, the JSON file, and everything that was printed."""

    def run(dataset: str, root: Path, predictions: Path, *more: str) -> tuple[int | str | None, dict[str, Any], str]:
        out = tmp_path / "scores.json"
        arguments = ["--dataset", dataset, "--root", root, "--predictions", predictions, "--json", out]
        code, printed = segmentation("score", *arguments, *more)
        return code, json.loads(out.read_text()) if out.exists() else {}, printed

    return run


@pytest.fixture
def davis(tmp_path: Path) -> Path:
    trees.davis16(tmp_path / "DAVIS")
    return tmp_path / "DAVIS"
