"""Photos in a store that fails: failures of the store do not count as failures of photos."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from pipeline.dataset import schema
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from pipeline.making.config import RunConfig
from pipeline.making.run import RunSummary, run
from tests.conftest import draw_duts
from tests.pipeline.making.test_run import SMALL, Watcher
from tests.pipeline.misbehaving_store import SCHEME, misbehaving, misbehaving_store


@pytest.fixture
def photos(tmp_path: Path) -> Iterator[str]:
    """Return the URL of five photos in a store that may misbehave."""
    with misbehaving_store():
        fsspec.filesystem(SCHEME).put(str(draw_duts(tmp_path / "DUTS", 5)), "/bucket/DUTS", recursive=True)
        yield f"{SCHEME}://bucket/DUTS"


def make(photos: str, output: Path) -> RunSummary:
    settings = {**SMALL, "workers": 0, "input": photos, "output": str(output)}
    return run(RunConfig(**settings), Watcher())  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [TimeoutError("no answer"), ConnectionResetError(104, "reset by peer")])
def test_a_store_that_fails_ends_the_run_and_blames_no_photo(photos: str, tmp_path: Path, error: Exception) -> None:
    sentence = r"scene_002.png: the store keeps failing .*same command again"
    with misbehaving("Image/scene_002.png", error), pytest.raises(PipelineError, match=sentence):
        make(photos, tmp_path / "x.zarr")
    assert DatasetStore.open(str(tmp_path / "x.zarr")).failures() == []
    assert make(photos, tmp_path / "x.zarr").failures == ()


@pytest.mark.parametrize("part", ["Image", "Mask"])
def test_a_photo_that_may_not_be_read_is_listed_and_the_others_are_made(photos: str, tmp_path: Path, part: str) -> None:
    with misbehaving(f"{part}/scene_003.png", PermissionError(13, "access denied")):
        (failure,) = make(photos, tmp_path / "x.zarr").failures
    assert (failure.row, failure.id, failure.reason) == (3, "scene_003", "unreadable")
    status = DatasetStore.open(str(tmp_path / "x.zarr")).read("status", slice(None))
    assert (status == schema.USABLE).tolist() == [True, True, True, False, True]
