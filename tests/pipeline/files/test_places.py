"""URLs are refused in one sentence where a folder is needed, and so are outputs that would keep nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.errors import PipelineError
from pipeline.files.places import refuse_url
from pipeline.files.storage import Storage
from segmentation import cli as segmentation_cli
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("run --input DUTS --output memory://x.zarr", "memory://x.zarr ends with this command and keeps nothing"),
        ("run --input DUTS --output x::y.zarr", "x::y.zarr is a chain of URLs"),
        ("run --input DUTS --output http://host/x.zarr", "http://host/x.zarr can only be read"),
        ("import DUTS memory://x.zarr", "keeps nothing"),
        ("publish DUTS x::y.zarr", "is a chain of URLs"),
        ("export x.zarr s3://bucket/tree", "s3://bucket/tree is a URL; expected a file or folder on this machine"),
        ("run --config http://host/run.toml --output x.zarr", "http://host/run.toml is a URL"),
    ],
)
def test_pipeline_refuses_it(
    command: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["pipeline", *command.split()])
    with pytest.raises(SystemExit, match=sentence):
        cli.main()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("train --data x.zarr --output http://host/run", "http://host/run is a URL"),
        ("train --data x.zarr --output x::y", "x::y is a URL"),
        ("predict clip --checkpoint net --output s3://bucket/x", "s3://bucket/x is a URL"),
        ("predict https://host/clip.mp4 --checkpoint net --output x", "https://host/clip.mp4 is a URL"),
        ("flows --video clip --output memory://x.zarr", "keeps nothing"),
    ],
)
def test_segmentation_refuses_it(
    command: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["segmentation", *command.split()])
    with pytest.raises(SystemExit, match=sentence):
        segmentation_cli.main()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["runs/a", "/data/a b/c:d", "a:b", "C"])
def test_paths_pass(place: str) -> None:
    refuse_url(place)
    with pytest.raises(PipelineError):
        refuse_url(f"file:/{place}" if place.startswith("/") else f"s3://{place}")


def test_a_stop_is_not_taken_for_an_absent_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*about: object, **more: object) -> None:
        raise KeyboardInterrupt

    place = Storage(str(tmp_path))
    with monkeypatch.context() as patched:
        for name in ("stat", "lstat"):
            patched.setattr(os, name, stop)
        with pytest.raises(KeyboardInterrupt):
            place.is_there()
    assert place.is_there()
    assert not Storage(str(tmp_path / "absent")).is_there()


def test_a_missing_client_of_a_store_names_its_installation() -> None:
    code = "import sys; sys.modules['s3fs'] = None; from pipeline.cli import main; main()"
    command = [sys.executable, "-c", code, "status", "s3://bucket/x.zarr"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: s3://bucket/x.zarr cannot be opened (")
    assert done.stderr.endswith(" Run `pip install '.[s3]'` in your clone of fakeflow.\n")
