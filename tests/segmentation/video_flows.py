"""Flow for the miniature video datasets, in both forms in which it is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from flowsim import flow_to_rgb
from pipeline.dataset.flow_store import FlowDataset, FlowLayout
from pipeline.dataset.schema import decode_flow, encode_flow
from pipeline.dataset.shard_writer import write_shard
from tests.segmentation.trees import SIZE, davis16

FRAMES = [f"{k:05d}" for k in range(6)]
"""Names of the frames of `davis16`."""


def draw_flow(height: int, width: int, frame: int) -> np.ndarray:
    """A field that differs from frame to frame; (h,w,2) float32 px."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    return np.stack([columns / 4 - frame, rows / 8 + frame], -1)


def store_flow(
    url: Path,
    video: str,
    frames: list[str],
    size: tuple[int, int],
    title: str = "DAVIS-2016",
    *,
    weights: str = "raft-large:C_T_SKHT_V2",
    stride: int = 1,
) -> None:
    """Write one video's flow as `segmentation flows` does."""
    dataset = FlowDataset(str(url))
    dataset.begin({})
    layout, store = FlowLayout(len(frames), *size), dataset.video(video)
    settings = {"weights_sha256": hashlib.sha256(weights.encode()).hexdigest(), "stride": stride}
    store.create(layout, {"origin": {"dataset": title}, "weights": weights, "settings": settings})
    for shard in range(layout.shard_count):
        rows = layout.rows(shard)
        known = np.ones(size, bool)
        steps = np.stack([encode_flow(draw_flow(*size, row), known) for row in rows])
        names = np.array(frames[rows.start : rows.stop], object)
        write_shard(store, shard, {"flow": steps, "frame": names}, [], "float32")


def draw_training_videos(folder: Path) -> Path:
    """Draw `DAVIS` with the training videos bear and libby, and their flow in `flows.zarr`; return its root."""
    root = folder / "DAVIS"
    davis16(root)
    (root / "ImageSets/480p/train.txt").write_text("bear\nlibby\n")
    for video in ("bear", "libby"):
        store_flow(folder / "flows.zarr", video, FRAMES, SIZE)
    return root


def read_flow(url: str, video: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield name and flow of each frame of a video whose flow is complete."""
    store = FlowDataset.open(url).video(video)
    assert store.is_complete()
    for row, name in enumerate(store.read("frame", slice(None))):
        yield str(name), decode_flow(store.read("flow", row))


def save_flow_pictures(folder: Path, frames: list[str], size: tuple[int, int]) -> None:
    """Write one video's flow as the published code has it."""
    folder.mkdir(parents=True)
    for row, name in enumerate(frames):
        Image.fromarray(np.asarray(flow_to_rgb(draw_flow(*size, row)))).save(folder / f"{name}.jpg", quality=98)
