"""Small datasets of drawn scenes, as `pipeline run` writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flowsim import MotionPrior, MotionSample, sample_motion, simulate_flow
from pipeline.dataset import schema
from pipeline.dataset.schema import Layout
from pipeline.dataset.shard_writer import write_shard
from pipeline.dataset.store import DatasetStore
from tests.conftest import draw_scene

SEED = 5
FAILED_ROW = 3
SIDE = 40
FINGERPRINT = "0123abcd"


def make_dataset(path: Path, *, samples: int = 10, motions: int = 2, without_shard: int | None = None) -> Path:
    """Write a dataset of two samples a shard; row `FAILED_ROW` failed, odd rows are upright."""
    prior = MotionPrior.preset("camera+object")
    layout = Layout(samples, motions, SIDE, MotionSample.names, 2)
    store = DatasetStore(str(path))
    store.create(layout, {"fingerprint": FINGERPRINT, "settings": {"motion_prior": prior.to_dict()}})
    for shard in range(layout.shard_count):
        if shard == without_shard:
            continue
        rows = layout.rows(shard)
        arrays = schema.empty_shard(layout, len(rows))
        for place, row in enumerate(rows):
            arrays["id"][place] = f"scene {row}"
            if row != FAILED_ROW:
                put_scene(arrays, place, row, prior)
        write_shard(store, shard, arrays, [], "float32")
    return path


def put_scene(arrays: dict[str, np.ndarray], place: int, row: int, prior: MotionPrior) -> None:
    height, width = size = (SIDE, 30) if row % 2 else (24, 36)
    photo, mask = draw_scene(row, height, width)
    depth = np.linspace(0.2, 0.6, height, dtype=np.float32)[:, None].repeat(width, 1)
    depth[mask > 0] = 0.9
    steps = schema.encode_inverse_depth(depth)
    inside = (place, slice(0, height), slice(0, width))
    arrays["image"][inside], arrays["mask"][inside], arrays["inverse_depth"][inside] = photo, mask, steps
    for index in range(arrays["flow"].shape[1]):
        motion = sample_motion(prior, SEED, f"scene {row}", index)
        field = simulate_flow(schema.decode_inverse_depth(steps), mask > 0, motion)
        arrays["flow"][place, index, :height, :width] = schema.encode_flow(field.flow, field.valid)
    arrays["size"][place], arrays["status"][place] = size, schema.USABLE
