"""`make` installs the right PyTorch and says so. Stand-ins for Python and uv record how they are called."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

STAND_IN = """#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
case "$*" in
  "-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python && cp "$0" .venv/bin/uv ;;
  *--dry-run*--reinstall*) exit "$INDEX_IS_UNREACHABLE" ;;
  *--dry-run*) exit 0 ;; # torch of an earlier installation answers, not the index
esac
"""


def install(folder: Path, index_is_unreachable: int, stand_in: str = STAND_IN) -> tuple[list[str], str]:
    """Run `make .venv/installed` in an empty folder; return uv's install command and the printed text."""
    (folder / "Makefile").write_text((ROOT / "Makefile").read_text())
    (folder / "pyproject.toml").touch()
    python, calls = folder / "python3", folder / "calls"
    python.write_text(stand_in)
    python.chmod(0o755)
    environment = {**os.environ, "CALLS": str(calls), "INDEX_IS_UNREACHABLE": str(index_is_unreachable)}
    done = subprocess.run(
        ["make", f"PYTHON={python}", ".venv/installed"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    called = [line for line in calls.read_text().splitlines() if line.startswith("uv pip install")]
    return [line for line in called if "--dry-run" not in line], done.stdout


def test_torch_fits_the_machine(tmp_path: Path) -> None:
    (call,), printed = install(tmp_path, 0)
    assert "--torch-backend auto" in call
    assert call.endswith("--editable .[dev,docs,s3,view]")
    assert "Installing fakeflow with the PyTorch that fits this machine" in printed


def test_an_index_that_cannot_be_reached_is_said_and_done_without(tmp_path: Path) -> None:
    (call,), printed = install(tmp_path, 2)
    assert "--torch-backend" not in call
    assert call.endswith("--editable .[dev,docs,s3,view]")
    assert "PyTorch's own package index cannot be reached." in printed
    assert "CUDA libraries of several GB" in printed


def test_an_installation_that_fails_is_not_taken_for_one(tmp_path: Path) -> None:
    failing = STAND_IN.replace("esac", "  *--editable*) exit 1 ;;\nesac")
    with pytest.raises(subprocess.CalledProcessError):
        install(tmp_path, 0, failing)
    assert not (tmp_path / ".venv/installed").exists()


@pytest.mark.parametrize("ignored", ["demo/", ".venv/", "dutsv2.zarr/", "report.html", "preview.png"])
def test_what_the_commands_of_the_readme_make_is_not_untracked(ignored: str) -> None:
    rules = (ROOT / ".gitignore").read_text().splitlines()
    patterns = [re.escape(rule.strip("/")).replace(r"\*", ".*") for rule in rules if rule and not rule.startswith("#")]
    assert any(re.fullmatch(pattern, ignored.strip("/")) for pattern in patterns)
