"""Our shard encoder and sample reader against zarr-python, as it is and with the codec pipeline of the package `zarrs`.

Writing: one shard of a dataset that `pipeline run` made is written, flushed to the disk, read back, compared and
committed. Reading: `ShardDataset.read`, which training calls, with batches of rows in the order of an epoch. Of the
ways in which Zarr can do either, the fastest counts. All ways take turns; files come from the page cache.

    pip install zarrs
    python -m benchmarks.shards
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from benchmarks.pieces import write_tree
from benchmarks.record import add_options, publish
from benchmarks.rounds import ratio_of_times
from pipeline.command.progress import Silent
from pipeline.dataset.keys import shard_key
from pipeline.dataset.metadata import encode_small_shard
from pipeline.dataset.shard_writer import write_shard
from pipeline.dataset.store import DatasetStore
from pipeline.making.config import RunConfig
from pipeline.making.run import run
from segmentation.data.photo_samples import ShardDataset

Arrays = Mapping[str, NDArray[Any]]
Way = Callable[[], object]
PIPELINES = {
    "zarr-python": "zarr.core.codec_pipeline.BatchedCodecPipeline",
    "zarrs": "zarrs.ZarrsCodecPipeline",
}
BATCH = 8


@contextmanager
def codec_pipeline(name: str) -> Iterator[None]:
    """Let Zarr use one of the `PIPELINES` for arrays that are opened meanwhile."""
    with zarr.config.set({"codec_pipeline.path": PIPELINES[name], "array.write_empty_chunks": True}):
        yield


def write_in_place(pipeline: str, store: DatasetStore, arrays: Arrays) -> None:
    """Let Zarr write the objects of the first shard where they belong; flush them, compare values, commit."""
    store.refuse_lost_root()
    store.commits.drop(0)
    checksums = {}
    with codec_pipeline(pipeline):
        group = zarr.open_group(store.root, mode="r+")
        for name, values in arrays.items():
            array = group[name]
            assert isinstance(array, zarr.Array)
            array[: len(values)] = values
            key = shard_key(name, values.ndim, 0)
            with Path(store.storage.path(key)).open("rb") as file:
                os.fsync(file.fileno())
                checksums[key] = hashlib.file_digest(file, "sha256").hexdigest()
            if not np.array_equal(np.asarray(array[: len(values)]), values):
                raise ValueError(f"{key} reads back other values than were written")
    store.commits.write(0, checksums, [], store.attributes["fingerprint"], "float32", ())


def write_from_memory(pipeline: str, store: DatasetStore, arrays: Arrays) -> None:
    """Let Zarr encode the objects of the first shard in memory; store them, compare bytes, commit."""
    store.refuse_lost_root()
    store.commits.drop(0)
    specs, samples_per_shard = store.specs(store.layout), store.layout.samples_per_shard

    def store_object(key: str, content: bytes) -> str:
        store.storage.write(key, content)
        if store.storage.read(key) != content:
            raise ValueError(f"{key} reads back other bytes than were written")
        return hashlib.sha256(content).hexdigest()

    with codec_pipeline(pipeline), ThreadPoolExecutor(1) as disk:  # one is stored while the next is encoded
        stored = {}
        for name, values in arrays.items():
            content = encode_small_shard(specs[name], samples_per_shard, values)
            key = shard_key(name, values.ndim, 0)
            stored[key] = disk.submit(store_object, key, content)
        checksums = {key: checksum.result() for key, checksum in stored.items()}
    store.commits.write(0, checksums, [], store.attributes["fingerprint"], "float32", ())


class ZarrReader:
    """Reads samples as `SampleReader` does, through Zarr.

    Args:
        store: the dataset.
        pipeline: one of the `PIPELINES`.
        one_selection: read a batch by one selection, not row by row.
    """

    def __init__(self, store: DatasetStore, pipeline: str, *, one_selection: bool) -> None:
        with codec_pipeline(pipeline):
            group = zarr.open_group(store.root, mode="r")
            self.arrays: dict[str, Any] = {name: group[name] for name in store.specs(store.layout)}
        self.one_selection = one_selection

    def read(self, name: str, rows: Sequence[int]) -> list[NDArray[Any]]:
        """Return the stored values of some rows of one array."""
        array = self.arrays[name]
        if self.one_selection:
            return list(array.oindex[np.asarray(rows)])
        return [array[row] for row in rows]


def reading(url: str, reader: Callable[[DatasetStore], Any] | None, rows: Sequence[list[int]]) -> Way:
    """Return a function that reads batches of samples as training does, with another reader or with ours."""
    dataset = ShardDataset(url)
    expected = dataset.read(rows[0], 0)
    if reader is not None:
        assert dataset._opened is not None
        dataset._opened.reader = reader(dataset._opened.store)
        for one, other in zip(expected, dataset.read(rows[0], 0), strict=True):
            assert one.image.equal(other.image)
            assert one.mask.equal(other.mask)
            assert one.flow_px.nan_to_num().equal(other.flow_px.nan_to_num())
    return lambda: [dataset.read(batch, 0) for batch in rows]


def writing(folder: Path, made: DatasetStore) -> dict[str, Way]:
    """Return the ways to write the first shard of a dataset, each to a dataset of its own."""
    arrays = {name: made.read(name, slice(0, len(made.layout.rows(0)))) for name in made.specs(made.layout)}
    pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))

    def place(name: str) -> DatasetStore:
        store = DatasetStore(str(folder / f"{name}.zarr"))
        store.create(made.layout, made.attributes)
        return store

    ours = place("ours")
    ways: dict[str, Way] = {"ours": lambda: write_shard(ours, 0, arrays, [], "float32", pool.map)}
    for pipeline in PIPELINES:
        there, memory = place(f"{pipeline}-in-place"), place(f"{pipeline}-from-memory")
        ways[f"{pipeline}, in place"] = lambda p=pipeline, s=there: write_in_place(p, s, arrays)  # type: ignore[misc]
        if pipeline != "zarrs":  # it writes files alone
            ways[f"{pipeline}, from memory"] = lambda p=pipeline, s=memory: write_from_memory(p, s, arrays)  # type: ignore[misc]
    return ways


def take_turns(ways: Mapping[str, Way], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of every way in every round, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            if turn:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def compare(seconds: Mapping[str, list[float]]) -> dict[str, Any]:
    """Return the medians of all ways, and for each library how many times as long as ours its fastest way takes."""
    medians = {name: median(times) for name, times in seconds.items()}
    ratios = {}
    for library in PIPELINES:
        fastest = min((name for name in medians if name.startswith(f"{library},")), key=lambda name: medians[name])
        ratios[f"{library}_over_ours"] = ratio_of_times(seconds["ours"], seconds[fastest])
    return {"milliseconds": {name: round(1000 * one, 1) for name, one in medians.items()}, **ratios}


def main() -> None:
    """Measure and write benchmarks/results/shards.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=64, help="number of photos of the dataset")
    parser.add_argument("--side", type=int, default=256, help="side of the photos, in pixels")
    parser.add_argument("--rounds", type=int, default=7, help="number of measurements of every way")
    add_options(parser)
    given = parser.parse_args()
    if given.quick:
        given.rounds = min(given.rounds, 3)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos, output = write_tree(folder / "DUTS", given.photos, given.side), str(folder / "made.zarr")
        run(
            RunConfig(input=str(photos), output=output, depth_model="tiny-dpt", max_side=given.side, workers=0),
            Silent(),
        )
        order = ShardDataset(output).order(0).tolist()
        batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
        readers: dict[str, Way] = {"ours": reading(output, None, batches)}
        for pipeline in PIPELINES:
            for how, one_selection in (("row by row", False), ("one selection", True)):
                readers[f"{pipeline}, {how}"] = reading(
                    output,
                    lambda s, p=pipeline, o=one_selection: ZarrReader(s, p, one_selection=o),  # type: ignore[misc]
                    batches,
                )
        made = DatasetStore.open(output)
        figures = {
            "photos": given.photos,
            "side_px": given.side,
            "samples_per_shard": made.layout.samples_per_shard,
            "batch": BATCH,
            "zarrs": version("zarrs"),
            "write_one_shard": compare(take_turns(writing(folder, made), given.rounds)),
            "read_all_samples": compare(take_turns(readers, given.rounds)),
        }
    publish("shards", figures, given)


if __name__ == "__main__":
    main()
