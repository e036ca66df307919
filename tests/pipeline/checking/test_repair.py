"""`pipeline verify --repair`: broken shards are dropped, and the same work makes them again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.checking.repair import repair
from pipeline.dataset import schema
from pipeline.dataset.store import DatasetStore
from tests.pipeline.checking.damage import SPOIL, check, flip_bit
from tests.pipeline.drawn_dataset import contents, draw_shard, make_dataset


def test_repair_drops_what_is_broken_and_the_same_work_makes_it_good(dataset: Path) -> None:
    before = contents(dataset)
    for case in ("lost object", "truncated object", "surplus object", "half-written object"):
        SPOIL[case][0](dataset)
    (dataset / "notes.txt").write_text("a user's own")
    said = repair(str(dataset), check(dataset), print)
    store = DatasetStore.open(str(dataset))
    assert store.committed() == {2}
    assert (store.read("status", slice(0, 4)) == schema.NOT_MADE).all()
    assert any("left alone: notes.txt" in sentence for sentence in said)
    draw_shard(store, 0)
    draw_shard(store, 1)
    (dataset / "notes.txt").unlink()
    assert contents(dataset) == before
    assert check(dataset).is_whole


@pytest.mark.parametrize("key", ["zarr.json", "flow/zarr.json"])
def test_repair_of_metadata_lets_the_run_write_them_anew_and_keeps_the_shards(
    dataset: Path, key: str, tmp_path: Path
) -> None:
    before = contents(dataset)
    flip_bit(dataset / key, np.random.default_rng(1))
    repair(str(dataset), check(dataset), print)
    assert not DatasetStore(str(dataset)).exists()
    make_dataset(str(dataset), without_shard=None)
    assert contents(dataset) == before


def test_shards_of_other_settings_are_not_adopted_with_lost_metadata(dataset: Path) -> None:
    attributes = DatasetStore.open(str(dataset)).attributes
    layout = DatasetStore.open(str(dataset)).layout
    (dataset / "zarr.json").unlink()
    store = DatasetStore(str(dataset))
    store.create(layout, {"fingerprint": "other", "settings": attributes["settings"]})
    assert store.committed() == set()
