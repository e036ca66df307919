"""Photos and masks that change while a dataset is being made are refused by name; datasets grow and keep their rows."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import fsspec
import numpy as np
import pytest

from pipeline.checking.verify import verify
from pipeline.dataset.sealed import sealed_json
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from pipeline.making.config import ImportSettings, RunConfig
from pipeline.making.import_tree import import_tree
from pipeline.making.run import RunSummary, run
from pipeline.photos.originals import changed, read_original
from tests.conftest import draw_duts, draw_scene, write_png
from tests.pipeline.drawn_dataset import contents

PHOTOS, MASKS = "DUTS/DUTS-TR/DUTS-TR-Image", "DUTS/DUTS-TR/DUTS-TR-Mask"


class Listener:
    """Remembers what a run announces."""

    def __init__(self) -> None:
        self.said = ""

    def announce(self, sentence: str) -> None:
        self.said += f"{sentence}\n"

    def update(self, photos_to_do: int, done: int, failed: int) -> None:
        pass


def make(folder: Path, listener: Listener | None = None, **changes: object) -> RunSummary:
    """Make or continue `out.zarr` of the photos beside it."""
    given = {"input": str(folder / "DUTS"), "output": str(folder / "out.zarr"), "workers": 0, "depth_model": "tiny-dpt"}
    given |= {"max_side": 96, "samples_per_shard": 2, **changes}
    return run(RunConfig(**given), listener or Listener())  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made_once")
    draw_duts(folder / "DUTS", 5)
    make(folder)
    return folder


@pytest.fixture
def made(made_once: Path, tmp_path: Path) -> Path:
    """Return a folder with photos and a dataset of them: 5 photos in shards of 2."""
    shutil.copytree(made_once, tmp_path, dirs_exist_ok=True)
    return tmp_path


def records(folder: Path) -> list[dict[str, dict[str, str]]]:
    commits = DatasetStore.open(str(folder / "out.zarr")).commits
    return [record for shard in sorted(commits.shard_numbers()) for record in commits.read(shard)["originals"]]


def test_the_hash_of_every_photo_and_mask_is_kept(made: Path) -> None:
    for row, record in enumerate(records(made)):
        for role, folder in (("photo", PHOTOS), ("mask", MASKS)):
            content = (made / folder / f"scene_{row:03d}.png").read_bytes()
            assert record[role]["sha256"] == hashlib.sha256(content).hexdigest()
    assert len(records(made)) == 5


@pytest.mark.parametrize("folder", [PHOTOS, MASKS])
@pytest.mark.parametrize("is_finished", [True, False])
def test_a_file_that_changed_is_refused_by_name(made: Path, folder: str, is_finished: bool) -> None:
    if not is_finished:
        DatasetStore.open(str(made / "out.zarr")).commits.drop(2)
    path = made / folder / "scene_001.png"
    content = bytearray(path.read_bytes())
    content[-20] ^= 1  # another picture of the same size
    path.write_bytes(content)
    before = contents(made / "out.zarr")
    with pytest.raises(PipelineError, match=rf"{path} changed since the dataset was made of it. Put the earlier"):
        make(made)
    assert contents(made / "out.zarr") == before


def test_a_photo_that_is_not_in_the_dataset_yet_may_change(made: Path) -> None:
    DatasetStore.open(str(made / "out.zarr")).commits.drop(2)
    write_png(made / PHOTOS / "scene_004.png", draw_scene(77, 72, 96)[0])
    assert make(made).photos_made_now == 1
    content = (made / PHOTOS / "scene_004.png").read_bytes()
    assert records(made)[4]["photo"]["sha256"] == hashlib.sha256(content).hexdigest()


def test_a_moved_tree_is_the_same_and_so_is_a_copy_of_other_times(made: Path) -> None:
    (made / "moved").mkdir()
    shutil.move(made / "DUTS", made / "moved/DUTS")
    listener = Listener()
    assert make(made, listener, input=str(made / "moved/DUTS")).photos_made_now == 0
    assert "comparing" not in listener.said  # nothing was read
    for path in (made / "moved").rglob("*.png"):
        os.utime(path, (1, 1))
    assert make(made, listener, input=str(made / "moved/DUTS")).photos_made_now == 0
    assert "comparing the contents of 10 files, written or copied since the dataset was begun" in listener.said
    (made / "moved" / PHOTOS / "scene_000.png").write_bytes((made / "moved" / PHOTOS / "scene_003.png").read_bytes())
    with pytest.raises(PipelineError, match=r"scene_000\.png changed"):
        make(made, input=str(made / "moved/DUTS"))


def test_a_photo_repaired_after_it_failed_is_accepted(tmp_path: Path) -> None:
    draw_duts(tmp_path / "DUTS", 2)
    photo = tmp_path / PHOTOS / "scene_001.png"
    good = photo.read_bytes()
    photo.write_bytes(good[:100])
    assert len(make(tmp_path).failures) == 1
    assert [sorted(record) for record in records(tmp_path)] == [["mask", "photo"], []]
    first = records(tmp_path)[0]
    photo.write_bytes(good)
    assert make(tmp_path, retry_failed=True).failures == ()
    assert records(tmp_path)[0] == first
    assert records(tmp_path)[1]["photo"]["sha256"] == hashlib.sha256(good).hexdigest()


def test_a_dataset_without_such_records_is_continued(made: Path) -> None:
    for path in (made / "out.zarr/.fakeflow/commits").glob("*.json"):
        record = json.loads(path.read_text())
        del record["originals"], record["file_sha256"]
        path.write_bytes(sealed_json(record))
    listener = Listener()
    assert make(made, listener).photos_made_now == 0
    assert (
        "3 shards made by an earlier version: their photos cannot be compared with the ones used then" in listener.said
    )


def test_flow_pictures_of_an_imported_tree_count_too(tmp_path: Path) -> None:
    for index in range(3):
        photo, mask = draw_scene(index)
        for folder, picture in (("JPEGImages", photo), ("Annotations", mask), ("JPEGFlows", photo[::-1])):
            write_png(tmp_path / "tree" / folder / f"scene_{index}.png", picture)
    given = str(tmp_path / "tree"), str(tmp_path / "out.zarr"), ImportSettings(max_side=96), Listener()
    assert import_tree(*given).photos_made_now == 3
    assert sorted(records(tmp_path)[0]) == ["flow", "mask", "photo"]
    write_png(tmp_path / "tree/JPEGFlows/scene_2.png", draw_scene(9)[0])
    with pytest.raises(PipelineError, match=r"JPEGFlows/scene_2\.png changed"):
        import_tree(*given)


def test_objects_of_a_store_are_compared_by_what_it_says_of_them() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/originals/a.jpg", b"first")
    used = [("memory://originals/a.jpg", read_original("memory://originals/a.jpg").record)]
    listener = Listener()
    assert changed(used, listener.announce) == []
    assert listener.said == ""
    memory.pipe_file("/originals/a.jpg", b"first")
    assert changed(used, listener.announce) == []
    assert "comparing" in listener.said
    memory.pipe_file("/originals/a.jpg", b"other")
    assert changed(used, listener.announce) == ["memory://originals/a.jpg"]
    memory.rm("/originals", recursive=True)


# ---- growth


def test_a_dataset_grows_to_what_one_run_would_have_made(made: Path, tmp_path: Path) -> None:
    store = str(tmp_path / "grown.zarr")
    assert make(made, output=store, limit=3).photos == 3
    full_shard = DatasetStore.open(store).commits.read(0)
    listener = Listener()
    assert make(made, listener, output=store, limit=4).photos_made_now == 2  # the shard that was not full, again
    assert "the dataset grows from 3 to 4 photos" in listener.said
    assert make(made, output=store).photos_made_now == 1
    grown, whole = DatasetStore.open(store), DatasetStore.open(str(made / "out.zarr"))
    assert grown.commits.read(0) == full_shard
    for name in grown.specs(grown.layout):
        np.testing.assert_array_equal(grown.read(name, slice(None)), whole.read(name, slice(None)))
    objects = {key: value for key, value in contents(tmp_path / "grown.zarr").items() if "/c/" in key}
    assert objects == {key: value for key, value in contents(made / "out.zarr").items() if "/c/" in key}
    assert verify(store, Listener(), all_rows=True).is_whole
    assert make(made, output=store).photos_made_now == 0


def test_photos_after_the_last_one_are_added_and_others_refused(made: Path) -> None:
    def add(stem: str) -> None:
        for folder, picture in zip((PHOTOS, MASKS), draw_scene(50), strict=True):
            write_png(made / folder / f"{stem}.png", picture)

    add("scene_005")
    assert make(made).photos == 6
    add("scene_002b")
    refused = r"6 photos there, 7 now; new before its last photo: scene_002b\). Its rows are sorted by"
    with pytest.raises(PipelineError, match=refused) as caught:
        make(made)
    assert "listing_hash" not in str(caught.value)
    for folder in (PHOTOS, MASKS):
        (made / folder / "scene_002b.png").unlink()
        (made / folder / "scene_003.png").unlink()
    with pytest.raises(PipelineError, match="6 photos there, 5 now; not listed any more: scene_003"):
        make(made)


def test_a_smaller_limit_is_refused_in_words(made: Path) -> None:
    with pytest.raises(PipelineError, match="5 photos there, 2 now; not listed any more: scene_002") as caught:
        make(made, limit=2)
    assert "larger --limit; none can be taken out" in str(caught.value)
    assert "listing_hash" not in str(caught.value)
    assert make(made, limit=5).photos_made_now == 0
