"""`pipeline export --layout webdataset|parquet`: files that the libraries webdataset and datasets read back exactly."""

from __future__ import annotations

import io
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import webdataset

import pipeline
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from pipeline.making.config import RunConfig
from pipeline.making.run import run
from pipeline.sharing.export import export_tree, write_tree
from pipeline.sharing.packed_samples import PackedSample
from pipeline.sharing.shard_trees import SHARD_TREES
from tests.conftest import draw_duts
from tests.pipeline.conftest import Command
from tests.pipeline.drawn_dataset import contents, draw_shard, make_dataset
from tests.pipeline.making.test_run import Watcher

Records = list[dict[str, Any]]
pytestmark = [  # webdataset does not close its files
    pytest.mark.filterwarnings("ignore:unclosed file"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> DatasetStore:
    """Return a dataset of six drawn photos, of which the fourth failed."""
    return make_dataset(str(tmp_path_factory.mktemp("shards") / "x.zarr"))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> DatasetStore:
    """Return a dataset of three frames of two motions of two photos."""
    folder = tmp_path_factory.mktemp("clips")
    settings = {"depth_model": "tiny-dpt", "max_side": 96, "workers": 0, "frames": 3, "motions": 2}
    run(RunConfig(input=str(draw_duts(folder / "DUTS", 2)), output=str(folder / "x.zarr"), **settings))  # type: ignore[arg-type]
    return DatasetStore.open(str(folder / "x.zarr"))


def read_by_webdataset(tree: Path) -> Records:
    """Return id, motion_index, images, mask and arrays of each sample."""
    shards = [str(path) for path in sorted((tree / "data").glob("*.tar"))]
    found = []
    for sample in webdataset.WebDataset(shards, shardshuffle=False).decode("rgb8"):
        later = [sample[name] for name in sorted(sample) if name.endswith(".jpg") and name != "jpg"]
        images = [sample["jpg"], *later]
        found.append({**sample["json"], "images": images, "mask": sample["mask.png"], **sample["npz"]})
    return found


def read_by_datasets(tree: Path) -> Records:
    """Return the same of the rows of Parquet, as `load_dataset` finds them without being told anything."""
    found = []
    for row in datasets.load_dataset(str(tree), split="train", cache_dir=str(tree.with_name("cache"))):
        arrays = dict(np.load(io.BytesIO(row["arrays"]), allow_pickle=False))
        images = [np.asarray(row[name]) for name in sorted(row) if name.startswith("image")]
        mask = np.asarray(row["mask"].convert("RGB"))
        found.append({**row, "images": images, "mask": mask, **arrays})
    return found


READERS: dict[str, Callable[[Path], Records]] = {"webdataset": read_by_webdataset, "parquet": read_by_datasets}
layouts = pytest.mark.parametrize("layout", SHARD_TREES)


@layouts
def test_photos_come_back(photos: DatasetStore, tmp_path: Path, layout: str, pipeline: Command) -> None:
    done = pipeline("export", photos.url, tmp_path / "tree", "--layout", layout)
    assert "5 samples, 5 written now" in done.stdout, done.said
    check_photos(photos, READERS[layout](tmp_path / "tree"))


def check_photos(store: DatasetStore, records: Records) -> None:
    samples = list(pipeline.open_dataset(store.url))
    assert [record["id"] for record in records] == [sample.id for sample in samples]
    for record, sample in zip(records, samples, strict=True):
        assert (record["height"], record["width"]) == sample.mask.shape
        np.testing.assert_array_equal(record["flow_px"], sample.flow_px[0])
        np.testing.assert_array_equal(record["inverse_depth"], sample.inverse_depth)
        np.testing.assert_array_equal(record["mask"][..., 0] > 0, sample.mask)
        (image,) = record["images"]
        assert np.abs(image.astype(int) - sample.image).mean() < 12


@layouts
def test_clips_come_back_under_every_motion(clips: DatasetStore, tmp_path: Path, layout: str) -> None:
    export_tree(clips, tmp_path / "tree", Watcher(), layout)
    records = READERS[layout](tmp_path / "tree")
    names = [("scene_000", 0), ("scene_000", 1), ("scene_001", 0), ("scene_001", 1)]
    assert [(record["id"], record["motion_index"]) for record in records] == names
    samples = {sample.id: sample for sample in pipeline.open_dataset(clips.url)}
    for record in records:
        frames, motion = samples[record["id"]].frames, record["motion_index"]
        assert frames is not None
        top, bottom, left, right = frames.windows[motion].tolist()
        window = slice(None), slice(top, bottom), slice(left, right)
        np.testing.assert_array_equal(record["flow_px"], frames.flow_px[motion][window])
        np.testing.assert_array_equal(record["labels"][1:], frames.labels[motion][window])
        np.testing.assert_array_equal(record["mask"][..., 0] > 0, record["labels"][0] == 1)
        assert record["is_visible"].shape == record["flow_px"].shape[:3]
        for made, shown in zip(record["images"][1:], frames.images[motion][window], strict=True):
            assert np.abs(made.astype(int) - shown).mean() < 12


@layouts
def test_a_stopped_export_continues_file_by_file_and_gives_the_same_bytes(
    photos: DatasetStore, tmp_path: Path, layout: str
) -> None:
    def export(name: str) -> tuple[int, int]:
        done = write_tree(SHARD_TREES[layout](photos, tmp_path / name, samples_per_file=2), Watcher())
        return done.samples, done.written_now

    assert export("whole") == (5, 5)
    files = sorted((tmp_path / "whole/data").iterdir())
    assert [path.name for path in files] == [
        f"train-{number:05d}-of-00003.{files[0].suffix[1:]}" for number in range(3)
    ]
    export("tree")
    (tmp_path / f"tree/data/{files[1].name}").unlink()
    (tmp_path / "tree/data/.0123.partial").write_bytes(b"of an export that was killed")
    assert export("tree") == (5, 2)
    assert contents(tmp_path / "tree") == contents(tmp_path / "whole")
    assert export("tree") == (5, 0)


@layouts
def test_a_sample_that_failed_later_is_never_mixed_in(tmp_path: Path, layout: str) -> None:
    store = make_dataset(str(tmp_path / "x.zarr"))
    export_tree(store, tmp_path / "tree", Watcher(), layout)
    draw_shard(store, 1, failed_row=-1)  # now all six are usable
    with pytest.raises(PipelineError, match="shows another dataset"):
        export_tree(DatasetStore.open(store.url), tmp_path / "tree", Watcher(), layout)
    other = next(one for one in SHARD_TREES if one != layout)
    with pytest.raises(PipelineError, match="shows another dataset"):
        export_tree(DatasetStore.open(store.url), tmp_path / "tree", Watcher(), other)


def test_members_of_tar_files_have_names_that_webdataset_groups(photos: DatasetStore, tmp_path: Path) -> None:
    export_tree(photos, tmp_path / "tree", Watcher(), "webdataset")
    with tarfile.open(tmp_path / "tree/data/train-00000-of-00001.tar") as tar:
        members = tar.getmembers()
    assert [member.name for member in members[:4]] == [
        "00000000_0.jpg", "00000000_0.mask.png", "00000000_0.npz", "00000000_0.json"
    ]  # fmt: skip
    assert {(member.mtime, member.uid, member.uname) for member in members} == {(0, 0, "")}


@layouts
def test_no_file_is_held_in_memory(photos: DatasetStore, tmp_path: Path, layout: str) -> None:
    rng, length = np.random.default_rng(0), 1 << 18
    values = {"id": "x", "row": 0, "motion_index": 0, "height": 1, "width": 1}
    samples = (PackedSample(values, (rng.bytes(length),), b"", b"") for _ in range(250))
    tree = SHARD_TREES[layout](photos, tmp_path)
    tracemalloc.start()
    tree.write_file(tmp_path / "file", samples)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    size = (tmp_path / "file").stat().st_size
    assert size > 250 * length
    assert peak < size / 3
