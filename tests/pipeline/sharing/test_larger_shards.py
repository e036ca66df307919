"""A dataset of more shards than hubs hold well is published in larger ones, chunk by chunk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray

import pipeline
from pipeline.checking.verify import verify
from pipeline.dataset.store import DatasetStore
from pipeline.sharing.larger_shards import Limits, shards_to_join
from pipeline.sharing.publish import publish
from tests.pipeline.checking.damage import Silent
from tests.pipeline.drawn_dataset import contents, draw_shard, make_dataset

FOUR_SHARDS = Limits(entries=6)
"""Limits that allow four shards."""


class Listener(Silent):
    """Keep what is announced."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def announce(self, sentence: str) -> None:
        self.said.append(sentence)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `x.zarr`, eleven samples in six shards of two, and its copy `joined`."""
    folder = tmp_path_factory.mktemp("larger")
    listener = Listener()
    publish(make_dataset(str(folder / "x.zarr"), 11).url, str(folder / "joined"), listener, limits=FOUR_SHARDS)
    assert any(sentence.startswith("joining 2 shards into one: 6 are more") for sentence in listener.said)
    return folder


def test_the_copy_is_intact_and_holds_the_same_samples(made: Path) -> None:
    assert verify(str(made / "joined"), Silent(), all_rows=True).is_whole
    before, after = (DatasetStore.open(str(made / name)) for name in ("x.zarr", "joined"))
    assert (after.layout.samples_per_shard, after.layout.shard_count) == (4, 3)
    assert after.failures() == before.failures()
    for one, other in zip(pipeline.open_dataset(before.url), pipeline.open_dataset(after.url), strict=True):
        assert one.id == other.id
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.flow_px, other.flow_px)
    opened = xarray.open_zarr(str(made / "joined"), consolidated=True, mask_and_scale=False)
    for name in before.specs(before.layout):
        np.testing.assert_array_equal(opened[name].values, before.read(name, slice(None)))


def test_the_bytes_are_those_of_a_run_with_larger_shards(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.pipeline.drawn_dataset.SAMPLES_PER_SHARD", 4)
    make_dataset(str(tmp_path / "large.zarr"), 11)
    assert contents(tmp_path / "large.zarr").items() <= contents(made / "joined").items()


def test_the_same_command_again_copies_nothing(made: Path) -> None:
    before = contents(made / "joined")
    assert publish(str(made / "x.zarr"), str(made / "joined"), Silent(), limits=FOUR_SHARDS).copied == 0
    assert contents(made / "joined") == before


def test_originals_of_all_parts_are_kept_in_the_order_of_rows(tmp_path: Path) -> None:
    store = make_dataset(str(tmp_path / "x.zarr"), 6)
    record = store.commits.read(0)
    photos = [{"photo": {"sha256": str(row) * 64, "stamp": "s"}} for row in range(2)]
    store.commits.write(0, record["objects"], [], record["fingerprint"], record["precision"], photos)
    publish(store.url, str(tmp_path / "joined"), Silent(), limits=Limits(entries=4))
    joined = json.loads((tmp_path / "joined/.fakeflow/commits/000000.json").read_text())
    assert joined["originals"] == [*photos, {}, {}]


def test_a_shard_that_changes_meanwhile_is_noticed(made: Path, tmp_path: Path) -> None:
    store = make_dataset(str(tmp_path / "x.zarr"), 6)

    class Meddler(Silent):
        def announce(self, sentence: str) -> None:
            if sentence.startswith("copying"):
                draw_shard(store, 1, failed_row=2)

    with pytest.raises(pipeline.PipelineError, match="changed while it was published"):
        publish(store.url, str(tmp_path / "joined"), Meddler(), limits=Limits(entries=4))


@pytest.mark.parametrize(
    ("limits", "joined"),
    [
        (Limits(), 1),
        (Limits(entries=8), 1),
        (Limits(entries=7), 2),
        (Limits(files=72), 1),
        (Limits(files=71), 2),
        (Limits(files=1), 6),
    ],
)
def test_no_more_shards_are_joined_than_the_limits_ask_for(made: Path, limits: Limits, joined: int) -> None:
    store = DatasetStore.open(str(made / "x.zarr"))
    assert len(store.specs(store.layout)) == 8
    assert shards_to_join(store, limits) == joined


def test_limits_hold_for_what_is_published(made: Path) -> None:
    folders = [made / "joined/.fakeflow/commits", *(made / "joined").glob("*/c")]
    assert len(folders) == 9
    assert max(len(list(folder.iterdir())) for folder in folders) < FOUR_SHARDS.entries
    assert any(len(list(folder.iterdir())) >= FOUR_SHARDS.entries for folder in (made / "x.zarr").glob("*/c"))
