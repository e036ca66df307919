"""The order in which a dataset is written: after a crash at any point, nothing incomplete looks complete."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from pipeline.checking.verify import verify
from pipeline.dataset.published_files import MANIFEST
from pipeline.dataset.shard_writer import write_shard
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from pipeline.sharing.publish import publish
from tests.file_operations import Operation, assert_written_whole, watched_files
from tests.pipeline.checking.damage import Silent
from tests.pipeline.dataset.test_store import LAYOUT, shard_arrays
from tests.pipeline.drawn_dataset import make_dataset
from tests.pipeline.misbehaving_store import SCHEME, misbehaving, misbehaving_store


def named(operations: list[Operation], root: Path) -> list[str]:
    """Return the keys that were given their names, in order."""
    targets = [Path(done.target) for done in operations if done.kind == "rename"]
    return [str(target.relative_to(root)) for target in targets if target.is_relative_to(root)]


def test_every_file_is_flushed_before_it_gets_its_name(tmp_path: Path) -> None:
    with watched_files() as operations:
        root = Path(make_dataset(str(tmp_path / "x.zarr")).root)
    files = [path for path in root.rglob("*") if path.is_file()]
    assert len(files) > 30
    for path in files:
        assert_written_whole(path, operations)


def test_files_that_are_renamed_into_place_replace_what_was_there(tmp_path: Path) -> None:
    store = make_dataset(str(tmp_path / "x.zarr"))
    key = "flow/c/0/0/0/0/0"
    before = (Path(store.root) / key).stat().st_ino
    arrays = {name: store.read(name, slice(0, 2)) for name in store.specs(store.layout)}
    with watched_files() as operations:
        write_shard(store, 0, arrays, [], "float32")
    assert_written_whole(Path(store.root) / key, operations)
    assert (Path(store.root) / key).stat().st_ino != before


def test_the_root_metadata_comes_last_when_a_dataset_is_created(tmp_path: Path) -> None:
    store = DatasetStore(str(tmp_path / "x.zarr"))
    with watched_files() as operations:
        store.create(LAYOUT, {"settings": {}})
    keys = named(operations, tmp_path / "x.zarr")
    assert keys[-1] == "zarr.json"
    assert "flow/zarr.json" in keys


def test_a_commit_record_comes_after_all_objects_of_its_shard(tmp_path: Path) -> None:
    store = DatasetStore(str(tmp_path / "x.zarr"))
    store.create(LAYOUT, {"settings": {}})
    arrays = shard_arrays(1)
    with watched_files() as operations:
        write_shard(store, 1, arrays, [], "float32")
    keys = named(operations, tmp_path / "x.zarr")
    assert keys[-1] == ".fakeflow/commits/000001.json"
    assert {key.partition("/")[0] for key in keys[:-1]} == set(arrays)


def test_publishing_shows_the_dataset_last(tmp_path: Path) -> None:
    dataset = make_dataset(str(tmp_path / "x.zarr"), samples=2)
    target = tmp_path / "published"
    with watched_files() as operations:
        publish(dataset.url, str(target), Silent())
    assert [key for key in named(operations, target) if not key.startswith(".fakeflow")][-1] == "zarr.json"
    for path in target.rglob("*"):
        if path.is_file() and path.name != "lock":
            assert_written_whole(path, operations)


def test_a_shard_that_is_made_again_does_not_exist_in_between(tmp_path: Path) -> None:
    store = make_dataset(str(tmp_path / "x.zarr"))
    arrays = {name: store.read(name, slice(0, 2)) for name in store.specs(store.layout)}
    arrays["image"] = 255 - arrays["image"]
    arrays["mask"] = 255 - arrays["mask"]

    def breaks_at(call: int) -> Callable[..., Iterable[Any]]:
        calls = iter(range(call + 1))

        def encode(function: Callable[..., Any], *values: Iterable[Any]) -> Iterator[Any]:
            if next(calls) == call:
                raise KeyboardInterrupt
            return map(function, *values)

        return encode

    with pytest.raises(KeyboardInterrupt):
        write_shard(store, 0, arrays, [], "float32", breaks_at(2))
    assert store.committed() == {1, 2}
    found = verify(store.url, Silent(), all_rows=True)
    assert (found.findings, found.missing_shard_count) == ([], 1)


def test_what_cannot_be_renamed_leaves_nothing_half_written(tmp_path: Path) -> None:
    store = make_dataset(str(tmp_path / "x.zarr"), without_shard=0)
    (Path(store.root) / "mask/c/0/0/0/in_the_way").mkdir(parents=True)
    arrays = {name: store.read(name, slice(2, 4)) for name in store.specs(store.layout)}
    with pytest.raises(PipelineError, match=r"x.zarr: cannot write .*Repair this and run the same command again"):
        write_shard(store, 0, arrays, [], "float32")
    assert not list(tmp_path.rglob("*.partial"))
    assert store.committed() == {1, 2}


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """Return the URL of an empty place in a store that may misbehave."""
    with misbehaving_store():
        yield f"{SCHEME}://bucket/x.zarr"


@pytest.mark.parametrize("name", ["flow/c/", "status/c/"])
def test_a_store_that_returns_other_bytes_than_were_written_is_noticed(elsewhere: str, name: str) -> None:
    store = DatasetStore(elsewhere)
    store.create(LAYOUT, {"settings": {}})
    sentence = rf"x.zarr: {name}1\S* reads back other bytes than were written"
    with misbehaving(name, flips_bits=True), pytest.raises(PipelineError, match=sentence):
        write_shard(store, 1, shard_arrays(1), [], "float32")
    assert store.committed() == set()
    write_shard(store, 1, shard_arrays(1), [], "float32")
    assert store.committed() == {1}


@pytest.mark.parametrize("name", ["flow/c/", MANIFEST, "mask/zarr.json"])
def test_a_copy_that_reads_back_differently_is_not_published(elsewhere: str, tmp_path: Path, name: str) -> None:
    dataset = make_dataset(str(tmp_path / "x.zarr"), samples=2)
    sentence = rf"{name}\S* reads back other bytes than were written"
    with misbehaving(name, flips_bits=True), pytest.raises(PipelineError, match=sentence):
        publish(dataset.url, elsewhere, Silent())
    assert not fsspec.filesystem(SCHEME).exists("/bucket/x.zarr/zarr.json")
    publish(dataset.url, elsewhere, Silent())
    assert fsspec.filesystem(SCHEME).exists("/bucket/x.zarr/zarr.json")
