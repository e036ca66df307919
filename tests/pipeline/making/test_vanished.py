"""Datasets that are deleted, in whole or in part, while a run works on them; and rows of shards that do not exist."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.dataset.commits import COMMITS
from pipeline.dataset.schema import NOT_MADE, USABLE
from pipeline.errors import PipelineError
from pipeline.making.config import RunConfig
from pipeline.making.run import run
from pipeline.showing.report_measures import read_motions
from pipeline.showing.status import counts
from tests.conftest import MakeDuts
from tests.pipeline.drawn_dataset import contents, draw_shard, make_dataset


class Meddler:
    """Acts on the dataset when a number of photos is done."""

    def __init__(self, photos: int, meddle: Callable[[], object]) -> None:
        self.photos, self.meddle = photos, meddle

    def announce(self, sentence: str) -> None:
        pass

    def update(self, photos_to_do: int, done: int, failed: int) -> None:
        if done == self.photos:
            self.meddle()


def config(root: Path, output: Path) -> RunConfig:
    return RunConfig(
        input=str(root), output=str(output), workers=0, depth_model="tiny-dpt", max_side=96, samples_per_shard=1
    )


def delete(folder: Path) -> None:
    while folder.exists():  # a shard that is being written adds files meanwhile
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("photos", [1, 8])
def test_a_dataset_deleted_in_mid_run_is_an_error_and_not_made_again(
    make_duts: MakeDuts, tmp_path: Path, photos: int
) -> None:
    root, output = make_duts(8), tmp_path / "lost.zarr"
    with pytest.raises(PipelineError, match=r"lost.zarr.*(deleted|gone)[\s\S]*[Rr]un the same command again"):
        run(config(root, output), Meddler(photos, lambda: delete(output)))
    assert not output.exists()
    assert run(config(root, output), Meddler(0, lambda: None)).photos == 8


@pytest.mark.parametrize(
    ("lost", "sentence"),
    [
        (f"{COMMITS}/000001.json", "1 of 4 commit records are gone: they were deleted while this command was running"),
        ("zarr.json", "its zarr.json is gone: the dataset was deleted, moved or replaced"),
    ],
)
def test_what_is_lost_at_the_end_is_seen(make_duts: MakeDuts, tmp_path: Path, lost: str, sentence: str) -> None:
    root, output = make_duts(4), tmp_path / "lost.zarr"
    with pytest.raises(PipelineError, match=sentence):
        run(config(root, output), Meddler(4, (output / lost).unlink))


def test_a_shard_is_not_written_into_another_dataset(tmp_path: Path) -> None:
    store = make_dataset(str(tmp_path / "a.zarr"))
    make_dataset(str(tmp_path / "b.zarr"), samples=4)
    shutil.copy(tmp_path / "b.zarr/zarr.json", tmp_path / "a.zarr/zarr.json")
    before = contents(tmp_path / "a.zarr")
    with pytest.raises(PipelineError, match=r"its zarr\.json is another dataset's"):
        draw_shard(store, 1)
    assert contents(tmp_path / "a.zarr") == before


def test_rows_of_a_shard_without_a_record_are_not_usable(tmp_path: Path) -> None:
    store = make_dataset(str(tmp_path / "a.zarr"))  # rows 2 and 3 are a shard; row 3 failed
    assert store.usable_rows().tolist() == [0, 1, 2, 4, 5]
    store.commits.drop(2)
    assert store.usable_rows().tolist() == [0, 1, 2]
    assert store.states().tolist() == [USABLE, USABLE, USABLE, 1, NOT_MADE, NOT_MADE]
    assert counts(store) == {"usable": 3, "failed": 1, "not made": 2}
    assert (read_motions(store) == store.read("motion", slice(None))[:3, 0]).all()
