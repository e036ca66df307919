"""The store's guarantees one by one, and the fixed-point arrays."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dataset import schema
from pipeline.dataset.commits import Failure
from pipeline.dataset.schema import Layout
from pipeline.dataset.shard_writer import write_shard
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from tests.pipeline.misbehaving_store import SCHEME, misbehaving_store

LAYOUT = Layout(samples=5, motions=1, side=32, motion_parameters=("a", "b"), samples_per_shard=2)


def shard_arrays(seed: int, rows: int = 2) -> dict[str, np.ndarray]:
    """Fill every array of a shard with noise that fits its type."""
    rng = np.random.default_rng(seed)
    arrays = schema.empty_shard(LAYOUT, rows)
    for name, values in arrays.items():
        if name == "id":
            values[:] = [f"photo {seed} {i} ü" for i in range(rows)]
        elif name == "motion":
            values[:] = rng.normal(size=values.shape)
        else:
            values[:] = rng.integers(0, 200, values.shape)
    return arrays


@pytest.fixture
def store(tmp_path: Path) -> DatasetStore:
    made = DatasetStore(str(tmp_path / "x.zarr"))
    made.create(LAYOUT, {"settings": {}})
    return made


def test_a_shard_reads_back_and_others_are_absent(store: DatasetStore) -> None:
    arrays = shard_arrays(1)
    write_shard(store, 1, arrays, [], "float32")
    assert store.committed() == {1}
    for name, values in arrays.items():
        assert (store.read(name, slice(2, 4)) == values).all(), name
    assert (store.read("status", slice(0, 2)) == schema.NOT_MADE).all()


def test_the_last_shard_may_be_short(store: DatasetStore) -> None:
    arrays = shard_arrays(2, rows=1)
    write_shard(store, 2, arrays, [], "float32")
    for name, values in arrays.items():
        assert (store.read(name, slice(4, 5)) == values).all(), name


def test_rows_of_all_shards_are_the_samples_each_once(store: DatasetStore) -> None:
    layout = store.layout
    assert layout.samples % layout.samples_per_shard, "the last shard is to be short"
    assert [row for shard in range(layout.shard_count) for row in layout.rows(shard)] == list(range(layout.samples))


def test_only_a_record_of_the_right_name_makes_a_shard_exist(store: DatasetStore) -> None:
    write_shard(store, 0, shard_arrays(1), [], "float32")
    commits = Path(store.root) / ".fakeflow/commits"
    for name in ("1.json", "00001.json", "0000001.json", "000001.json.bak", "000003.json"):
        (commits / name).write_bytes((commits / "000000.json").read_bytes())
    assert store.committed() == {0}


def test_failures_are_kept_with_the_commit(store: DatasetStore) -> None:
    failure = Failure(3, "größe", "truncated", "größe.jpg: ends early")
    write_shard(store, 1, shard_arrays(1), [failure], "float32")
    assert DatasetStore.open(store.url).failures() == [failure]


def test_memory_file_system_serves_as_well(tmp_path: Path) -> None:
    made = DatasetStore(f"memory://{tmp_path.name}/x.zarr")
    made.create(LAYOUT, {"settings": {}})
    arrays = shard_arrays(5)
    with made.sole_writer():
        write_shard(made, 0, arrays, [], "float32")
    again = DatasetStore.open(made.url)
    assert again.committed() == {0}
    assert (again.read("image", slice(0, 2)) == arrays["image"]).all()


def test_half_made_metadata_is_no_dataset_and_is_made_anew(store: DatasetStore) -> None:
    (Path(store.root) / "zarr.json").unlink()
    again = DatasetStore(store.url)
    assert not again.exists()
    again.create(LAYOUT, {"settings": {}})
    assert DatasetStore.open(store.url).layout == LAYOUT


def test_another_schema_version_is_named(store: DatasetStore) -> None:
    path = Path(store.root) / "zarr.json"
    path.write_text(path.read_text().replace(f'"schema_version": {schema.SCHEMA_VERSION}', '"schema_version": 99'))
    with pytest.raises(PipelineError, match=f"schema version 99, this fakeflow reads version {schema.SCHEMA_VERSION}"):
        DatasetStore.open(store.url)


@pytest.mark.parametrize("name", ["image", "flow", "status", "motion"])
def test_every_flipped_bit_is_found_when_reading(store: DatasetStore, name: str) -> None:
    write_shard(store, 0, shard_arrays(3), [], "float32")
    (path,) = [path for path in (Path(store.root) / name / "c").rglob("*") if path.is_file()]
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(50):
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        with pytest.raises(PipelineError, match=rf"the array {name} is damaged. Run `pipeline verify --repair"):
            store.read(name, slice(0, 2))


def test_zarr_itself_could_have_written_the_shards(store: DatasetStore) -> None:
    arrays = shard_arrays(4)
    write_shard(store, 1, arrays, [], "float32")
    ours = {name: store.read(name, slice(2, 4)) for name in arrays}
    group = zarr.open_group(store.root, mode="r+")
    for name, values in arrays.items():
        group[name][2:4] = values
        assert (group[name][2:4] == ours[name]).all(), name


def test_commit_record_holds_the_checksum_of_every_shard(store: DatasetStore) -> None:
    write_shard(store, 0, shard_arrays(3), [], "float32")
    for key, checksum in store.commits.read(0)["objects"].items():
        assert hashlib.sha256((Path(store.root) / key).read_bytes()).hexdigest() == checksum
    assert {key.split("/")[0] for key in store.commits.read(0)["objects"]} == set(shard_arrays(3))


def test_commit_records_are_read_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with misbehaving_store() as file_system:
        store = DatasetStore(f"{SCHEME}://bucket/x.zarr")
        store.create(replace(LAYOUT, samples=8), {"settings": {}})
        failures = [Failure(2 * shard, f"photo {shard}", "unreadable", "no JPEG") for shard in range(4)]
        for shard, failure in enumerate(failures):
            write_shard(store, shard, shard_arrays(shard), [failure], "float32")
        both, read = threading.Barrier(2, timeout=20), file_system.cat_file

        def read_with_another(self: Any, path: str, *arguments: Any, **options: Any) -> bytes:
            if "/commits/" in path:
                both.wait()
            content: bytes = read(self, path, *arguments, **options)
            return content

        monkeypatch.setattr(file_system, "cat_file", read_with_another)
        assert store.failures() == failures


def test_nothing_in_a_dataset_needs_unpickling(store: DatasetStore) -> None:
    group = zarr.open_group(store.root, mode="r")
    for _, array in group.arrays():
        codecs = str(array.metadata.to_dict()["codecs"])
        assert "pickle" not in codecs
        assert "crc32c" in codecs


@given(st.floats(0, 1, width=32))
def test_inverse_depth_keeps_twelve_bits(value: float) -> None:
    stored = schema.decode_inverse_depth(schema.encode_inverse_depth(np.full((2, 3), value, np.float32)))
    assert np.abs(stored - value).max() <= 0.5 / 4095 + 1e-6


@given(st.floats(-511, 511, width=32), st.floats(-511, 511, width=32))
def test_flow_is_kept_to_a_128th_of_a_pixel(u: float, v: float) -> None:
    flow = np.full((2, 3, 2), (u, v), np.float32)
    stored = schema.decode_flow(schema.encode_flow(flow, np.ones((2, 3), bool)))
    assert np.abs(stored - flow).max() <= 1 / 128 + 1e-4


@pytest.mark.parametrize("value", [512.0, -600.0, np.nan, np.inf])
def test_flow_that_cannot_be_stored_becomes_unknown(value: float) -> None:
    flow = np.zeros((2, 3, 2), np.float32)
    flow[0, 1, 0] = value
    stored = schema.decode_flow(schema.encode_flow(flow, np.ones((2, 3), bool)))
    assert np.isnan(stored[0, 1]).all()
    assert np.isfinite(stored).sum() == stored.size - 2


def test_invalid_flow_becomes_unknown() -> None:
    valid = np.ones((2, 3), bool)
    valid[1, 2] = False
    stored = schema.decode_flow(schema.encode_flow(np.ones((2, 3, 2), np.float32), valid))
    assert np.isnan(stored[1, 2]).all()
    assert (stored[valid] == 1).all()
