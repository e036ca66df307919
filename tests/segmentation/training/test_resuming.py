"""Training that is stopped or killed, its folder, and how it continues."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch
from safetensors.torch import load_file

from pipeline.errors import PipelineError
from segmentation.errors import SegmentationError, Stopped, TrainingError
from segmentation.network.checkpoint import load_network
from segmentation.training.folder import held_folder
from segmentation.training.run import train
from tests.conftest import ROOT
from tests.segmentation.training_runs import (
    StopAfter,
    Watcher,
    command,
    records,
    same_state,
    settings_in,
    train_in,
)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_stopped_run_continues_bit_for_bit(tmp_path: Path, device: Literal["cpu", "cuda"]) -> None:
    settings = settings_in(tmp_path, output=str(tmp_path / "whole"), device=device)
    train(settings, Watcher())
    stopped = replace(settings, output=str(tmp_path / "stopped"))
    for step, position in ((1, 2), (5, 5)):  # within an epoch; within the validation after the last step
        with pytest.raises(Stopped):
            train(replace(stopped, resume=step > 1), StopAfter(2 * step))
        state = torch.load(tmp_path / "stopped/last/training.pt", weights_only=True)
        assert state["position"]["step"] >= position
    train(replace(stopped, resume=True), Watcher())
    assert same_state(tmp_path / "whole", tmp_path / "stopped")
    whole, parts = records(tmp_path / "whole"), records(tmp_path / "stopped")
    assert [one for one in whole if one["kind"] == "validation"] == [
        one for one in parts if one["kind"] == "validation"
    ]
    best = [load_file(tmp_path / run / "best/model.safetensors") for run in ("whole", "stopped")]
    assert all(torch.equal(best[0][name], best[1][name]) for name in best[0])


def test_a_killed_run_continues_bit_for_bit(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, output=str(tmp_path / "whole"), epochs=3)
    train(settings, Watcher())
    killed = tmp_path / "killed"
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # as here: the number of threads decides the last bits
    process = subprocess.Popen(command(settings, killed), cwd=ROOT, env=one_thread, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (killed / "last/training.pt").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    with (killed / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "train", "st')  # as a kill within a line leaves it
    (killed / "last/training.pt.0.partial").write_bytes(b"cut off")
    train(replace(settings, output=str(killed), resume=True), Watcher())
    assert same_state(tmp_path / "whole", killed)
    assert [one for one in records(killed) if one["kind"] == "validation"] == [
        one for one in records(tmp_path / "whole") if one["kind"] == "validation"
    ]
    assert not list(killed.rglob("*.partial"))


def test_ctrl_c_saves_and_exits_with_130(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, epochs=10_000)
    run = tmp_path / "run"
    process = subprocess.Popen(command(settings, run), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (run / "metrics.jsonl").exists() or not (run / "metrics.jsonl").read_text():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "with --resume continues" in said
    assert "Traceback" not in said
    assert torch.load(run / "last/training.pt", weights_only=True)["position"]["step"] >= 3


def test_another_run_in_the_folder_is_refused(tmp_path: Path) -> None:
    train_in(tmp_path, epochs=1)
    with pytest.raises(TrainingError, match=r"run holds a run already; continue it with --resume"):
        train_in(tmp_path, epochs=1)
    with pytest.raises(
        TrainingError,
        match=r"other settings \(recipe.batch_size: 2 -> 3; recipe.learning_rate: .*; seed: 0 -> 1\); resume with",
    ):
        train_in(tmp_path, epochs=1, batch_size=3, seed=1, resume=True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.tex").write_text("")
    with pytest.raises(TrainingError, match=r"full is not empty and holds no run \(found thesis.tex\)"):
        train_in(tmp_path, output=str(tmp_path / "full"))
    path = tmp_path / "run/last/training.pt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(TrainingError, match=r"training.pt is truncated, damaged.*--initialization .*best"):
        train_in(tmp_path, epochs=1, resume=True)


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, epochs=1)
    train(settings, Watcher())
    content = json.loads((tmp_path / "run/settings.json").read_text())
    with (
        held_folder(tmp_path / "run", content, resume=True),
        pytest.raises(PipelineError, match=r"Another run is writing .*run. Wait for it, or choose another place"),
    ):
        train(replace(settings, resume=True), Watcher())


@pytest.mark.parametrize("damage", [None, b"\xff\xfe\x00", b'5\n{"kind": "train"}\n'])
def test_a_lost_or_foreign_log_does_not_stop_a_run(tmp_path: Path, damage: bytes | None) -> None:
    before = train_in(tmp_path, epochs=1)
    log = tmp_path / "run/metrics.jsonl"
    log.unlink()
    if damage is not None:
        log.write_bytes(damage)
    after = train_in(tmp_path, epochs=1, resume=True)
    assert (after.best_score, after.best_epoch) == (before.best_score, 1)


@pytest.mark.parametrize(("room", "file"), [(20 << 20, "best/model.safetensors"), (80 << 20, "last/training.pt")])
def test_a_disk_without_room_is_said_and_the_run_continues_later(tmp_path: Path, room: int, file: str) -> None:
    """A limit on the size of files stands for the disk: it stops the same calls."""
    settings = settings_in(tmp_path, epochs=1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(SegmentationError, match=rf"{file} cannot be written \(.*\).*Make room"):
            train(settings, Watcher())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((tmp_path / "run").rglob("*.partial"))
    assert train(replace(settings, resume=True), Watcher()).best_epoch == 1


@pytest.mark.slow
def test_a_plain_run_continues_compiled(tmp_path: Path) -> None:
    """In a process of its own: the checks of types that tests put around functions cannot be compiled."""
    settings = settings_in(tmp_path, output=str(tmp_path / "plain"))
    train(settings, Watcher())
    with pytest.raises(Stopped):
        train(replace(settings, output=str(tmp_path / "compiled")), StopAfter(6))
    subprocess.run([*command(settings, tmp_path / "compiled"), "--resume", "--compile"], cwd=ROOT, check=True)
    plain, compiled = (load_network(tmp_path / name / "last").state_dict() for name in ("plain", "compiled"))
    assert all(torch.allclose(plain[name], compiled[name], atol=1e-3) for name in plain)
    states = [torch.load(tmp_path / name / "last/training.pt", weights_only=True) for name in ("plain", "compiled")]
    assert states[0]["network"].keys() == states[1]["network"].keys()
