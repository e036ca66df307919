"""A small dataset of drawn scenes with all that `pipeline run` writes, made without a depth network."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from flowsim import MotionPrior, MotionSample, sample_motion, simulate_flow
from pipeline.dataset import schema
from pipeline.dataset.commits import Failure
from pipeline.dataset.schema import Layout
from pipeline.dataset.shard_writer import write_shard
from pipeline.dataset.store import DatasetStore
from pipeline.making.config import fingerprint
from tests.conftest import draw_scene

PRIOR = MotionPrior.preset("camera+object")
SEED = 5
SIDE = 40
SAMPLES_PER_SHARD = 2


def make_dataset(url: str, samples: int = 6, *, without_shard: int | None = None, failed_row: int = 3) -> DatasetStore:
    """Write a dataset of two samples a shard; one row failed, odd rows are upright."""
    settings = {
        "depth": {"model": "drawn", "sha256": "0" * 64},
        "motion": "camera+object",
        "motion_prior": PRIOR.to_dict(),
        "seed": SEED,
    }
    attributes = {"fingerprint": fingerprint(settings), "settings": settings, "source": "drawn", "licence": "MIT"}
    store = DatasetStore(url)
    store.create(Layout(samples, 1, SIDE, MotionSample.names, SAMPLES_PER_SHARD), attributes)
    for shard in range(store.layout.shard_count):
        if shard != without_shard:
            draw_shard(store, shard, failed_row)
    return store


def draw_shard(store: DatasetStore, shard: int, failed_row: int = 3) -> None:
    """Write one shard of `make_dataset`."""
    rows = store.layout.rows(shard)
    arrays, failures = schema.empty_shard(store.layout, len(rows)), []
    for place, row in enumerate(rows):
        arrays["id"][place] = f"scene_{row:03d}"
        if row == failed_row:
            failures.append(Failure(row, f"scene_{row:03d}", "truncated", "ends early"))
        else:
            put_scene(arrays, place, row)
    write_shard(store, shard, arrays, failures, "float32")


def contents(root: Path) -> dict[str, str]:
    """Return file -> sha256 of everything that belongs to a dataset: all but the lock and the notes on runs."""
    files = {p for p in root.rglob("*") if p.is_file() and p.name != "lock" and p.parent.name != "runs"}
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)}


def put_scene(arrays: dict[str, np.ndarray], place: int, row: int) -> None:
    """Draw a scene with depth and flow into one row of a shard whose ids are there already."""
    height, width = size = (SIDE, 30) if row % 2 else (24, 36)
    photo, mask = draw_scene(row, height, width)
    depth = np.linspace(0.2, 0.6, height, dtype=np.float32)[:, None].repeat(width, 1)
    depth[mask > 0] = 0.9
    steps = schema.encode_inverse_depth(depth)
    inside = (place, slice(0, height), slice(0, width))
    arrays["image"][inside], arrays["mask"][inside], arrays["inverse_depth"][inside] = photo, mask, steps
    for index in range(arrays["flow"].shape[1]):
        motion = sample_motion(PRIOR, SEED, str(arrays["id"][place]), index)
        made = simulate_flow(schema.decode_inverse_depth(steps), mask > 0, motion)
        arrays["flow"][place, index, :height, :width] = schema.encode_flow(made.flow, made.valid)
        arrays["motion"][place, index] = made.motion.to_vector()
    arrays["size"][place], arrays["status"][place] = size, schema.USABLE
