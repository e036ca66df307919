"""Datasets whose flow, masks and ids are known beforehand, made without a depth network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flowsim import MotionPrior, MotionSample, sample_motion
from pipeline.dataset import schema
from pipeline.dataset.commits import Failure
from pipeline.dataset.schema import Layout
from pipeline.dataset.shard_writer import write_shard
from pipeline.dataset.store import DatasetStore
from pipeline.making.config import fingerprint

SIDE = 16
HEIGHT, WIDTH = 12, 16
DRAWN = 12
"""Number of different motions."""
PRIOR = MotionPrior.preset("davis")
MOTIONS = [sample_motion(PRIOR, 1, f"{number}", 0) for number in range(DRAWN)]


def flow_px(row: int) -> float:
    """Return the length of all vectors of a row: they point to the right."""
    return row % 50 / 4


def object_rows(row: int) -> int:
    """Return the number of pixel rows, of 12, that the object covers."""
    return 1 + row % 10


def begin_dataset(url: str, samples: int, samples_per_shard: int) -> DatasetStore:
    """Make a dataset of photos without shards."""
    settings = {
        "depth": {"model": "drawn", "sha256": "0" * 64},
        "motion": "davis",
        "motion_prior": PRIOR.to_dict(),
        "seed": 1,
    }
    attributes = {"fingerprint": fingerprint(settings), "settings": settings, "source": "drawn", "licence": "MIT"}
    store = DatasetStore(url)
    store.create(Layout(samples, 1, SIDE, MotionSample.names, samples_per_shard), attributes)
    return store


def add_shard(store: DatasetStore, shard: int, ids: Sequence[str], failed: Sequence[int] = ()) -> None:
    """Write one shard; `ids` are those of all rows, and rows in `failed` could not be used."""
    rows = np.array(store.layout.rows(shard))
    arrays = schema.empty_shard(store.layout, len(rows))
    usable = ~np.isin(rows, failed)
    arrays["id"][:] = [ids[row] for row in rows]
    inside = (usable, slice(HEIGHT), slice(WIDTH))
    arrays["image"][inside] = _colours(rows[usable])[:, None, None]
    covered = np.arange(HEIGHT) < np.array([object_rows(row) for row in rows[usable]], int)[:, None]
    arrays["mask"][inside] = np.where(covered, 255, 0)[..., None]
    arrays["inverse_depth"][inside] = np.where(covered, 4000, 1000)[..., None]
    steps = np.array([round(64 * flow_px(row)) for row in rows[usable]], np.int16)
    arrays["flow"][usable, 0, :HEIGHT, :WIDTH, 0] = steps[:, None, None]
    vectors = np.array([motion.to_vector() for motion in MOTIONS])
    arrays["motion"][usable, 0] = vectors[rows[usable] % DRAWN]
    arrays["size"][usable] = HEIGHT, WIDTH
    arrays["status"][usable] = schema.USABLE
    failures = [Failure(row, ids[row], "truncated", f"{ids[row]} ends early") for row in rows[~usable].tolist()]
    write_shard(store, shard, arrays, failures, "float32")


def make_dataset(url: str, ids: Sequence[str], samples_per_shard: int = 4, failed: Sequence[int] = ()) -> DatasetStore:
    """Make a complete dataset with these ids."""
    store = begin_dataset(url, len(ids), samples_per_shard)
    for shard in range(store.layout.shard_count):
        add_shard(store, shard, ids, failed)
    return store


def _colours(rows: Any) -> np.ndarray:
    return np.stack([50 + rows * 37 % 200, 50 + rows * 91 % 200, 50 + rows * 53 % 200], -1).astype(np.uint8)
