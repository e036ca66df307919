"""Pipes, sockets, devices and huge files in place of photos, masks and settings are reported and never waited for."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import fsspec
import pytest

from flowsim import FlowsimError, read_flo
from pipeline.dataset.store import DatasetStore
from pipeline.errors import UnusablePhoto
from pipeline.files.regular_files import MAX_FILE_BYTES, UnusableFileError, open_regular, read_file, read_text
from pipeline.photos import originals
from tests.conftest import ROOT, MakeDuts
from tests.pipeline.conftest import Command

pytestmark = pytest.mark.usefixtures("in_time")


def make_pipe(path: Path) -> Path:
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    return path


def make_sparse(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


def test_what_is_no_regular_file_is_named(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(tmp_path / "socket.png"))
        (tmp_path / "zero.png").symlink_to("/dev/zero")
        (tmp_path / "pipe_behind_a_link.png").symlink_to(make_pipe(tmp_path / "pipe.png"))
        kinds = {
            "pipe.png": "a named pipe",
            "pipe_behind_a_link.png": "a named pipe",
            "zero.png": "a device",
            "socket.png": "a socket",
            ".": "a folder",
        }
        for name, kind in kinds.items():
            for read in (read_file, read_text, open_regular):
                with pytest.raises(UnusableFileError, match=f"this is {kind}; expected a regular file"):
                    read(tmp_path / name)


def test_size_is_bounded(tmp_path: Path) -> None:
    huge = make_sparse(tmp_path / "huge.png", MAX_FILE_BYTES + 1)
    with pytest.raises(UnusableFileError, match="1,073,741,825 bytes or more; expected at most 1,073,741,824"):
        read_file(huge)
    (tmp_path / "ten.txt").write_bytes(b"0123456789")
    assert read_file(tmp_path / "ten.txt", 10) == b"0123456789"
    with pytest.raises(UnusableFileError, match="10 bytes or more; expected at most 9"):
        read_file(tmp_path / "ten.txt", 9)
    with pytest.raises(UnusableFileError, match="expected at most 10"):
        read_file("/proc/self/status", 10)  # a regular file that says that it has 0 bytes


def test_an_object_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(originals, "MAX_FILE_BYTES", 9)
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/large/photo.jpg", b"0123456789")
    with pytest.raises(UnusablePhoto, match="10 bytes or more"):
        originals.read_original("memory://large/photo.jpg")
    memory.rm("/large", recursive=True)


def test_photos_and_masks_that_are_none_are_listed(make_duts: MakeDuts, tmp_path: Path) -> None:
    root = make_duts(6)
    photos, masks = root / "DUTS-TR/DUTS-TR-Image", root / "DUTS-TR/DUTS-TR-Mask"
    make_pipe(photos / "scene_000.png")
    (photos / "scene_001.png").unlink()
    (photos / "scene_001.png").symlink_to("/dev/zero")
    make_sparse(photos / "scene_002.png", 5 * 2**30)
    make_pipe(masks / "scene_003.png")
    (masks / "scene_004.png").unlink()
    (masks / "scene_004.png").symlink_to("/dev/zero")
    output = tmp_path / "out.zarr"
    command = [sys.executable, "-m", "pipeline.cli", "run", "--input", str(root), "--output", str(output)]
    command += ["--workers", "0", "--depth-model", "tiny-dpt", "--max-side", "96", "--max-failures", "5"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "1 of 6 photos usable" in done.stdout
    found = {failure.id: (failure.reason, failure.message) for failure in DatasetStore.open(str(output)).failures()}
    assert {name: reason for name, (reason, _) in found.items()} == {
        "scene_000": "not_a_file",
        "scene_001": "not_a_file",
        "scene_002": "file_too_large",
        "scene_003": "mask_not_a_file",
        "scene_004": "mask_not_a_file",
    }
    assert found["scene_000"][1].endswith("scene_000.png: this is a named pipe; expected a regular file")
    assert "mask: this is a device" in found["scene_004"][1]


def test_pipes_of_an_imported_tree_are_listed(make_duts: MakeDuts, tmp_path: Path, pipeline: Command) -> None:
    done = pipeline(
        *["run", "--input", make_duts(3), "--output", tmp_path / "a.zarr", "--workers", "0", "--max-side", "96"],
        *["--depth-model", "tiny-dpt"],
    )
    assert done.returncode == 0
    assert pipeline("export", tmp_path / "a.zarr", tmp_path / "tree").returncode == 0
    make_pipe(next((tmp_path / "tree/JPEGFlows").glob("scene_001.*")))
    done = pipeline("import", tmp_path / "tree", tmp_path / "b.zarr")
    assert done.returncode == 3
    assert [failure.reason for failure in DatasetStore.open(str(tmp_path / "b.zarr")).failures()] == ["flow_not_a_file"]


def test_settings_in_a_pipe_are_refused(tmp_path: Path, pipeline: Command) -> None:
    pipe = make_pipe(tmp_path / "settings.toml")
    done = pipeline("run", "--config", pipe)
    assert (done.returncode, done.stdout) == (1, "")
    assert "settings.toml: cannot be read as TOML (this is a named pipe; expected a regular file)" in done.stderr
    done = pipeline("depth", "--input", pipe, "--output", tmp_path / "depth.png", "--depth-model", "tiny-dpt")
    assert "settings.toml: cannot be read (this is a named pipe" in done.stderr


def test_flow_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FlowsimError, match="not a regular file"):
        read_flo(make_pipe(tmp_path / "pipe.flo"))


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_a_stop_at_any_moment_of_a_read_stays_a_stop(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    stopped = 0
    while True:
        left = stopped

        def stop(frame: object, event: str, argument: object) -> None:
            nonlocal left
            left -= argument is not sys.setprofile
            if left < 0:
                sys.setprofile(None)
                raise KeyboardInterrupt

        sys.setprofile(stop)
        try:
            content = read_file(tmp_path / "file", limit=100)
        except KeyboardInterrupt:
            stopped += 1
            continue
        finally:
            sys.setprofile(None)
        break
    assert content == b"content"
    assert stopped > 10


BLOCKED = """
from pathlib import Path
from pipeline.engine import run_tasks as engine
from pipeline.engine.placement import Placement
from pipeline.command.options import make_app

app = make_app("reads")

class Blocked:
    def make(self, task):
        print("waiting", flush=True)
        return Path(task).read_bytes()

@app.command("read")
def read(path: str) -> None:
    list(engine.run_tasks(lambda share: Blocked(), [path], Placement(0, "cpu", None), print))

app()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_read_that_never_ends_does_not_keep_a_command_from_stopping(tmp_path: Path, number: int) -> None:
    def listen() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)

    command = [sys.executable, "-c", BLOCKED, "read", str(make_pipe(tmp_path / "pipe"))]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, preexec_fn=listen, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout is not None
        for line in process.stdout:
            if line == "waiting\n":
                break
        asked = time.monotonic()
        process.send_signal(number)
        try:
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert time.monotonic() - asked < 20
    assert "Stopped without waiting" in errors
    assert "Traceback" not in errors
