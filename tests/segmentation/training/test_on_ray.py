"""Training on Ray: lost workers, errors of workers, and Ctrl-C."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.processes import command_line, descendants
from segmentation.errors import Stopped, TrainingError
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
