"""The wheel holds all that a user needs: installed elsewhere, it makes the example dataset outside the checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
def test_the_demo_runs_from_an_installed_wheel(tmp_path: Path) -> None:
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    assert uv is not None, "uv is not installed; `make test-all` installs it"
    elsewhere, site = tmp_path / "elsewhere", tmp_path / "site"
    elsewhere.mkdir()
    shutil.copytree(ROOT / "examples", elsewhere / "examples")
    environment = {**os.environ, "PYTHONPATH": str(site)}  # before the checkout, which is installed as it stands

    def call(*command: str | Path) -> str:
        done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    call(uv, "build", "--wheel", "--out-dir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    call(uv, "pip", "install", "--python", sys.executable, "--no-deps", "--target", site, wheel)
    for package in ("depth", "flowsim", "pipeline", "segmentation"):
        found = Path(call(sys.executable, "-c", f"import {package}; print({package}.__file__)").strip()).parent
        assert found == site / package
        assert (found / "py.typed").exists()
    page = {path.suffix for path in (site / "pipeline/viewing/page").iterdir()}
    assert page == {".html", ".css", ".js"}
    demo = re.findall(r"^\t\$\(BIN\)/(\w+ .*--output demo.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    run, preview, predict = (
        [sys.executable, "-m", f"{program}.cli", *options] for program, *options in map(str.split, demo)
    )
    assert "7 of 7 photos usable" in call(*run)
    call(*preview)
    assert (elsewhere / "demo/preview.png").stat().st_size > 100_000
    assert "48 frames, flow estimated by DIS, masks by tiny-vos" in call(*predict)
