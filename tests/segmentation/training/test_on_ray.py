"""Training on Ray: lost workers, errors of workers, Ctrl-C, and what the user is told in the end."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
import torch

from benchmarks.processes import command_line, descendants
from pipeline.command.stopping import stopped_by_signals
from pipeline.errors import PipelineError
from segmentation.errors import Stopped, TrainingError
from segmentation.training.folder import STOP_FILE, STOPPED_FILE
from segmentation.training.on_ray import FAILURE_FILE, follow_to_end, raise_outcome
from segmentation.training.run import train
from tests.segmentation.training_runs import (
    Watcher,
    records,
    settings_in,
    train_in,
)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of ray.data
def test_a_lost_worker_brings_all_back_to_the_last_checkpoint(tmp_path: Path, local_ray: None) -> None:
    settings = settings_in(tmp_path, epochs=8, workers=2, validate_every=1)
    run = tmp_path / "run"
    watcher = KillOnce(run)
    summary = train(settings, watcher)
    assert watcher.killed
    judged = [one["epoch"] for one in records(run) if one["kind"] == "validation"]
    assert judged == list(range(1, 9))
    assert summary.best_score >= 0
    assert not (run / "failure.json").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of ray.data
def test_errors_of_workers_reach_the_user_in_a_sentence(tmp_path: Path, local_ray: None) -> None:
    changes = {"workers": 2, "preset": "paper-stage2", "output": str(tmp_path / "high")}
    with pytest.raises(TrainingError, match=r"the loss is (nan|inf) in epoch 1, step 2.*there is no checkpoint yet"):
        train_in(tmp_path, learning_rate=1e30, **changes)
    assert sorted(path.name for path in (tmp_path / "high").iterdir()) == [
        "metrics.jsonl",
        "settings.json",
        "tensorboard",
    ]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of ray.data
def test_ctrl_c_stops_workers_after_their_step(tmp_path: Path, local_ray: None) -> None:
    settings = settings_in(tmp_path, epochs=10_000, workers=2, validate_every=10_000)
    with pytest.raises(Stopped):
        train(settings, StopAtFirst())
    step = torch.load(tmp_path / "run/last/training.pt", weights_only=True)["position"]["step"]
    assert step >= 3
    watcher = StopAtFirst()
    with pytest.raises(Stopped):
        train(replace(settings, resume=True), watcher)
    assert watcher.counted[0][1] == 2 * step < watcher.counted[1][1]
    assert not (tmp_path / "run/stop").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of ray.data
def test_a_stopped_run_has_ended_well_though_ray_itself_fails(tmp_path: Path, local_ray: None) -> None:
    settings = settings_in(tmp_path, epochs=10_000, workers=2, validate_every=10_000)
    watcher = KillRayOnceStopped(tmp_path / "run")
    with pytest.raises(Stopped):
        train(settings, watcher)
    assert watcher.killed
    assert torch.load(tmp_path / "run/last/training.pt", weights_only=True)["position"]["step"] >= 3
    assert not (tmp_path / "run" / STOPPED_FILE).exists()


def test_a_stop_waits_until_workers_have_saved_their_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)  # which a stop replaces, as the process is to end
    run = tmp_path / "run"
    run.mkdir()

    def train_until_stopped() -> None:
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGTERM)  # as `ray job stop` does, while the main thread waits
        while not (run / STOP_FILE).exists():
            time.sleep(0.01)
        time.sleep(0.2)  # the last step
        (run / STOPPED_FILE).touch()

    settings, watcher = settings_in(tmp_path, data=("photos.zarr",)), Watcher()
    with stopped_by_signals():
        errors, was_stopped = follow_to_end(train_until_stopped, settings, watcher)
    assert (errors, was_stopped) == ([], True)
    assert watcher.said == ["stopping after this step"]
    assert (run / STOPPED_FILE).exists()


def test_a_run_that_saved_its_state_when_it_was_stopped_has_not_failed(tmp_path: Path) -> None:
    (tmp_path / STOPPED_FILE).touch()
    with pytest.raises(Stopped):
        raise_outcome(tmp_path, [RuntimeError("the actor died")], was_stopped=True)


def test_a_run_that_fails_while_it_is_stopped_says_what_is_kept(tmp_path: Path) -> None:
    with pytest.raises(
        PipelineError, match=r"failed: the actor died\. What was learnt up to the last checkpoint is in"
    ):
        raise_outcome(tmp_path, [RuntimeError("in short:\nthe actor died")], was_stopped=True)
    (tmp_path / FAILURE_FILE).write_text('"the loss is nan"')
    with pytest.raises(TrainingError, match=r"^the loss is nan$"):
        raise_outcome(tmp_path, [RuntimeError("the actor died")], was_stopped=True)


def test_a_run_that_reached_its_end_raises_nothing_unless_it_was_stopped(tmp_path: Path) -> None:
    raise_outcome(tmp_path, [], was_stopped=False)
    with pytest.raises(Stopped):  # in its last step
        raise_outcome(tmp_path, [], was_stopped=True)


class StopAtFirst(Watcher):
    """Presses Ctrl-C at the first sign that workers train."""

    def update(self, to_do: int, done: int, failed: int, note: str = "") -> None:
        super().update(to_do, done, failed, note)
        if len(self.counted) == 2:  # the first says what an earlier run did
            signal.raise_signal(signal.SIGINT)


class KillOnce(Watcher):
    """Kills one of the processes that train when the third epoch is judged."""

    def __init__(self, run: Path) -> None:
        super().__init__()
        self.run, self.killed = run, 0

    def announce(self, sentence: str) -> None:
        super().announce(sentence)
        if sentence.startswith("epoch 3:") and not self.killed:
            below = sorted(descendants(os.getpid()))  # a local Ray is started by the process that uses it
            self.killed = next(pid for pid in below if "RayTrainWorker" in command_line(pid))
            os.kill(self.killed, signal.SIGKILL)


class KillRayOnceStopped(StopAtFirst):
    """Presses Ctrl-C at the first sign that workers train, and kills what directs them once they have saved."""

    def __init__(self, run: Path) -> None:
        super().__init__()
        self.run, self.killed = run, 0

    def announce(self, sentence: str) -> None:
        super().announce(sentence)
        if sentence == "stopping after this step":
            Thread(target=self.kill, daemon=True).start()

    def kill(self) -> None:
        while not (self.run / STOPPED_FILE).exists():
            time.sleep(0.01)
        below = descendants(os.getpid())
        self.killed = next(pid for pid in below if "TrainController" in command_line(pid))
        os.kill(self.killed, signal.SIGKILL)
