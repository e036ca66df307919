"""Small datasets of drawn scenes, as `pipeline run` writes them."""

from __future__ import annotations

from pathlib import Path

from flowsim import MotionSample
from pipeline.dataset import schema
from pipeline.dataset.schema import Layout
from pipeline.dataset.shard_writer import write_shard
from pipeline.dataset.store import DatasetStore
from tests.pipeline.drawn_dataset import PRIOR, SIDE, put_scene

FAILED_ROW = 3
FINGERPRINT = "0123abcd"


def make_dataset(path: Path, *, samples: int = 10, motions: int = 2, without_shard: int | None = None) -> Path:
    """Write a dataset of two samples a shard; row `FAILED_ROW` failed, odd rows are upright."""
    layout = Layout(samples, motions, SIDE, MotionSample.names, 2)
    store = DatasetStore(str(path))
    store.create(layout, {"fingerprint": FINGERPRINT, "settings": {"motion_prior": PRIOR.to_dict()}})
    for shard in range(layout.shard_count):
        if shard == without_shard:
            continue
        rows = layout.rows(shard)
        arrays = schema.empty_shard(layout, len(rows))
        for place, row in enumerate(rows):
            arrays["id"][place] = f"scene {row}"
            if row != FAILED_ROW:
                put_scene(arrays, place, row)
        write_shard(store, shard, arrays, [], "float32")
    return path
