"""Miniature training runs: drawn photos and videos with flow, and settings that take a second."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from segmentation.training.run import TrainingSummary, train
from segmentation.training.settings import TrainingSettings
from tests.segmentation.video_flows import draw_training_videos
from tests.segmentation.zarr_datasets import make_dataset


class Watcher:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.counted: list[tuple[int, int]] = []
        self.notes: list[str] = []

    def announce(self, sentence: str) -> None:
        self.said.append(sentence)

    def update(self, to_do: int, done: int, failed: int, note: str = "") -> None:
        self.counted.append((to_do, done))
        self.notes.append(note)


def make_videos(folder: Path) -> str:
    """Draw DAVIS with two training videos and one to test on, and their flow; return the option's value."""
    return f"davis16={draw_training_videos(folder)}:{folder / 'flows.zarr'}"


def settings_in(folder: Path, **changes: Any) -> TrainingSettings:
    """Return settings of two epochs of three steps on drawn photos, which are made if need be."""
    if "data" not in changes and "videos" not in changes:
        changes["data"] = (str(folder / "photos.zarr"),)
        if not (folder / "photos.zarr").exists():
            make_dataset(folder / "photos.zarr")
    values: dict[str, Any] = {
        "output": str(folder / "run"),
        "encoder": "mit-b0",
        "initialization": "random",
        "side_px": 32,
        "batch_size": 2,
        "samples_per_epoch": 6,
        "epochs": 2,
    }
    return TrainingSettings(**{**values, **changes})


def train_in(folder: Path, **changes: Any) -> TrainingSummary:
    """Train with `settings_in`."""
    return train(settings_in(folder, **changes), Watcher())


def records(run: Path) -> list[dict[str, Any]]:
    """Return the numbers of a run without those that measure time."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in one.items() if "second" not in name} for one in lines]


def same_state(one: Path, other: Path) -> bool:
    """Return whether two runs keep the same state, to the last bit."""
    first, second = (torch.load(run / "last/training.pt", weights_only=True) for run in (one, other))
    flat: list[list[Any]] = []
    for state in (first, second):
        moments = [v for entry in state["optimizer"]["state"].values() for v in entry.values()]
        flat.append([*state["network"].values(), *state["average"].values(), *moments])
    assert len(flat[0]) == len(flat[1]) > 100
    return first["position"] == second["position"] and all(map(torch.equal, *flat))


class StopAfter(Watcher):
    """Presses Ctrl-C when a number of samples is done."""

    def __init__(self, samples: int) -> None:
        super().__init__()
        self.samples = samples

    def update(self, to_do: int, done: int, failed: int, note: str = "") -> None:
        super().update(to_do, done, failed, note)
        if done == self.samples:
            signal.raise_signal(signal.SIGINT)


def command(settings: TrainingSettings, output: Path) -> list[str]:
    """Return the command line of `segmentation train` with some of the settings."""
    options = {
        "--encoder": settings.encoder,
        "--initialization": settings.initialization,
        "--side-px": settings.side_px,
        "--batch-size": settings.batch_size,
        "--samples-per-epoch": settings.samples_per_epoch,
        "--epochs": settings.epochs,
        "--data": settings.data[0],
        "--output": output,
    }
    return [sys.executable, "-m", "segmentation.cli", "train", *(str(w) for pair in options.items() for w in pair)]
