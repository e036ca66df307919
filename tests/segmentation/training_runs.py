"""Miniature training runs: drawn photos and videos with flow, and settings that take a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segmentation.training.run import TrainingSummary, train
from segmentation.training.settings import TrainingSettings
from tests.segmentation.trees import SIZE, davis16
from tests.segmentation.video_flows import store_flow
from tests.segmentation.zarr_datasets import make_dataset

FRAMES = [f"{k:05d}" for k in range(6)]


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
    root = folder / "DAVIS"
    davis16(root)
    (root / "ImageSets/480p/train.txt").write_text("bear\nlibby\n")
    for video in ("bear", "libby"):
        store_flow(folder / "flows.zarr", video, FRAMES, SIZE)
    return f"davis16={root}:{folder / 'flows.zarr'}"


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
