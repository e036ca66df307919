"""Samples read without Zarr have the values that Zarr reads, locally and in object stores; damage is noticed."""

from __future__ import annotations

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import numpy as np
import pytest

from flowsim import MotionSample
from pipeline.dataset import schema
from pipeline.dataset.sample_reader import SampleReader
from pipeline.dataset.schema import Layout
from pipeline.dataset.shard_writer import write_shard
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError

ROWS = (6, 0, 3, 4, 6)


def make_store(url: str) -> DatasetStore:
    """Write random values: seven samples, three a shard."""
    layout = Layout(7, 2, 16, MotionSample.names, 3)
    store = DatasetStore(url)
    store.create(layout, {})
    rng = np.random.default_rng(0)
    for shard in range(layout.shard_count):
        arrays = schema.empty_shard(layout, len(layout.rows(shard)))
        for name in ("image", "mask", "inverse_depth", "flow"):
            arrays[name][:] = rng.integers(0, 255, arrays[name].shape)
        write_shard(store, shard, arrays, [], "float32")
    return store


@pytest.mark.parametrize("place", ["local", "memory"])
@pytest.mark.parametrize("name", ["image", "mask", "inverse_depth", "flow"])
def test_samples_are_those_that_zarr_reads(place: str, name: str, tmp_path: Path) -> None:
    url = str(tmp_path / "x.zarr") if place == "local" else f"memory://{tmp_path.name}/x.zarr"
    store = make_store(url)
    reader = SampleReader(store)
    for _ in range(2):  # the second time with the shards' indices known
        for row, sample in zip(ROWS, reader.read(name, ROWS), strict=True):
            np.testing.assert_array_equal(sample, store.read(name, row))
            assert sample.flags.writeable
    if place == "memory":
        fsspec.filesystem("memory").rm(f"/{tmp_path.name}", recursive=True)


def test_samples_that_were_never_written_are_the_fill_value(tmp_path: Path) -> None:
    store = make_store(str(tmp_path / "x.zarr"))
    store.group["mask"][3:6] = np.zeros((3, 16, 16), np.uint8)  # type: ignore[index]  # zarr leaves such chunks out
    store.group["mask"][4, 2, 2] = 9  # type: ignore[index]
    three, four = SampleReader(store).read("mask", [3, 4])
    assert not three.any()
    assert four.sum() == 9


def test_damage_is_found(tmp_path: Path) -> None:
    store = make_store(str(tmp_path / "x.zarr"))
    path = tmp_path / "x.zarr/image/c/1/0/0/0"
    whole = path.read_bytes()
    for place in (100, len(whole) - 20):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(PipelineError, match=r"x.zarr: the array image cannot be read .*checksum does not fit"):
            SampleReader(store).read("image", [3])
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PipelineError, match="cannot be read"):
        SampleReader(store).read("image", [3])
    path.unlink()
    with pytest.raises(PipelineError, match=r"cannot be read .*No such file"):
        SampleReader(store).read("image", [3])


class _WholeFiles(SimpleHTTPRequestHandler):
    """Serves files, ignores requests for parts of them, and says nothing."""

    def log_message(self, *words: object) -> None:
        """Log nothing."""


def test_a_server_that_sends_whole_files_or_is_gone_is_no_damage(tmp_path: Path) -> None:
    make_store(str(tmp_path / "x.zarr"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_WholeFiles, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        store = DatasetStore.open(f"http://127.0.0.1:{server.server_port}/x.zarr")
        with pytest.raises(PipelineError, match=r"x.zarr: the server sends whole files .*range requests, or copy it"):
            SampleReader(store).read("image", [3])
    finally:
        server.shutdown()
        server.server_close()
    with pytest.raises(PipelineError, match=r"x.zarr: cannot read \(Cannot connect to host .*it resumes"):
        SampleReader(store).read("image", [3])
