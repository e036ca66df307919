"""`pipeline export --layout`: trees that the readers of torchvision and of DAVIS-2017 open unchanged."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import FlyingChairs, KittiFlow, Sintel
from typer.testing import CliRunner

import pipeline
from pipeline.commands import app
from pipeline.dataset.samples import Frames
from pipeline.dataset.schema import SHOWS_NOTHING
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from pipeline.making.config import RunConfig
from pipeline.making.run import run
from pipeline.sharing.clip_trees import _padded
from pipeline.sharing.export import export_tree
from tests.conftest import draw_duts
from tests.pipeline.drawn_dataset import make_dataset
from tests.pipeline.made_clips import make_clips
from tests.pipeline.making.test_run import Watcher

LAYOUTS = ("flyingchairs", "sintel", "kitti", "davis17")
LARGEST_KNOWN = 1000
"""Readers of .flo files take a flow above this for unknown."""


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `clips.zarr`."""
    return make_clips(tmp_path_factory.mktemp("clips")).parent


@pytest.fixture
def clips(made_once: Path) -> DatasetStore:
    return DatasetStore.open(str(made_once / "clips.zarr"))


@pytest.fixture(scope="module")
def trees(made_once: Path) -> Path:
    """Return a folder with one tree for each layout."""
    for layout in LAYOUTS:
        said = CliRunner().invoke(
            app, ["export", str(made_once / "clips.zarr"), str(made_once / layout), "--layout", layout]
        )
        assert said.exit_code == 0, said.output
        assert "4 samples, 4 written now" in said.output
        assert "1 failed photo left out" in said.output
    return made_once


class Pair:
    """What the readers must find, cut out of the decoded sample by the slow, obvious way."""

    def __init__(self, sample: pipeline.Sample, motion: int, step: int) -> None:
        frames = sample.frames
        assert isinstance(frames, Frames)
        top, bottom, left, right = frames.windows[motion].tolist()
        window = slice(top, bottom), slice(left, right)
        self.images = [image[window] for image in (sample.image, *frames.images[motion])][step : step + 2]
        self.labels = [label[window] for label in (sample.labels, *frames.labels[motion])][step : step + 2]
        self.flow = frames.flow_px[motion, step][window]
        self.is_known = np.isfinite(self.flow).all(-1)
        self.is_seen = np.zeros_like(self.is_known)
        for row, column in np.argwhere(self.is_known & (frames.occlusion[motion, step][window] == 0)).tolist():
            x, y = self.flow[row, column] + (column, row)
            self.is_seen[row, column] = -0.5 <= x < right - left - 0.5 and -0.5 <= y < bottom - top - 0.5


def pairs(store: DatasetStore) -> Iterator[Pair]:
    for sample in pipeline.open_dataset(store.url):
        for motion in range(2):
            for step in range(2):
                yield Pair(sample, motion, step)


def assert_images(read: tuple[object, ...], pair: Pair) -> None:
    for one, other in zip(read[:2], pair.images, strict=True):
        np.testing.assert_array_equal(np.asarray(one), other)


def assert_flo(flow: np.ndarray, pair: Pair) -> None:
    flow = np.moveaxis(flow, 0, -1)
    np.testing.assert_array_equal(np.abs(flow).max(-1) < LARGEST_KNOWN, pair.is_known)
    np.testing.assert_array_equal(flow[pair.is_known], pair.flow[pair.is_known])


def test_drawn_pairs_have_what_the_tests_compare(clips: DatasetStore) -> None:
    made = list(pairs(clips))
    assert len(made) == 8
    assert any(not pair.is_known.all() for pair in made)
    assert any((pair.is_known & ~pair.is_seen).any() for pair in made)
    assert any(pair.is_known.size < 96 * 96 / 2 for pair in made) or len({pair.flow.shape for pair in made}) > 1


def test_flying_chairs_are_read_by_torchvision(trees: Path, clips: DatasetStore) -> None:
    dataset = FlyingChairs(trees / "flyingchairs", split="train")
    assert len(dataset) == 8
    assert len(FlyingChairs(trees / "flyingchairs", split="val")) == 0
    for read, pair in zip((dataset[number] for number in range(8)), pairs(clips), strict=True):
        assert_images(read, pair)
        assert_flo(read[2], pair)


def test_sintel_is_read_by_torchvision(trees: Path, clips: DatasetStore) -> None:
    dataset = Sintel(trees / "sintel", split="train", pass_name="clean")
    assert len(dataset) == 8
    made = list(pairs(clips))
    root = trees / "sintel/Sintel/training"
    for number, (first, _) in enumerate(dataset._image_list):  # scenes are listed in the order of the folder
        scene, frame = re.search(r"scene_(\d{5})/frame_(\d{4})\.png$", first).groups()  # type: ignore[union-attr]
        pair = made[2 * (int(scene) - 1) + int(frame) - 1]
        assert_images(dataset[number], pair)
        assert_flo(dataset[number][2], pair)
        place = f"scene_{scene}/frame_{frame}.png"
        with Image.open(root / "occlusions" / place) as hidden, Image.open(root / "invalid" / place) as unknown:
            np.testing.assert_array_equal(np.asarray(hidden), np.where(pair.is_seen, 0, 255))
            np.testing.assert_array_equal(np.asarray(unknown), np.where(pair.is_known, 0, 255))


@pytest.mark.filterwarnings("ignore:The image decoding and encoding capabilities of TorchVision:DeprecationWarning")
@pytest.mark.parametrize("kind", ["flow_occ", "flow_noc"])
def test_kitti_is_read_by_torchvision(trees: Path, clips: DatasetStore, kind: str, tmp_path: Path) -> None:
    """torchvision reads `flow_occ`; `flow_noc` is read in its place."""
    tree = tmp_path / "kitti"
    shutil.copytree(trees / "kitti", tree)
    if kind == "flow_noc":
        shutil.rmtree(tree / "KittiFlow/training/flow_occ")
        (tree / "KittiFlow/training/flow_noc").rename(tree / "KittiFlow/training/flow_occ")
    dataset = KittiFlow(tree, split="train")
    assert len(dataset) == 8
    for number, pair in enumerate(pairs(clips)):
        *images, flow, valid = dataset[number]
        assert_images(tuple(images), pair)
        expected = pair.is_known if kind == "flow_occ" else pair.is_seen
        np.testing.assert_array_equal(valid, expected)
        # the dataset and the format have steps of 1/64 px, so nothing is rounded
        np.testing.assert_array_equal(np.moveaxis(flow, 0, -1)[expected], pair.flow[expected])


def test_davis_2017_has_the_official_layout(trees: Path, clips: DatasetStore) -> None:
    """Reads as davis2017-evaluation does: `Annotations`, 480p, the frames of a sequence in order of their names."""
    root = trees / "davis17"
    sequences = [line.strip() for line in (root / "ImageSets/2017/train.txt").read_text().splitlines()]
    assert sequences == ["00001", "00002", "00003", "00004"]
    assert (root / "ImageSets/2017/val.txt").read_text() == ""
    made = list(pairs(clips))
    for number, sequence in enumerate(sequences):
        images = sorted((root / "JPEGImages/480p" / sequence).glob("*.jpg"))
        masks = sorted((root / "Annotations/480p" / sequence).glob("*.png"))
        assert [path.stem for path in images] == [path.stem for path in masks] == ["00000", "00001", "00002"]
        first, second = made[2 * number : 2 * number + 2]
        for path, pixels in zip(images, (*first.images, second.images[1]), strict=True):
            with Image.open(path) as image:
                assert image.size == pixels.shape[1::-1]
                assert np.abs(np.asarray(image).astype(int) - pixels).mean() < 8
        for path, labels in zip(masks, (*first.labels, second.labels[1]), strict=True):
            with Image.open(path) as mask:
                assert mask.mode == "P"
                np.testing.assert_array_equal(np.asarray(mask), labels)
                palette = mask.getpalette()
                assert palette is not None
                assert palette[:12] == [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0]
                assert palette[3 * SHOWS_NOTHING :] == [224, 224, 192]


def test_a_table_says_which_photo_each_number_shows(trees: Path) -> None:
    names = {
        "flyingchairs": ["00001", "00002", "00008"],
        "sintel": ["scene_00001/frame_0001", "scene_00001/frame_0002", "scene_00004/frame_0002"],
        "kitti": ["000000", "000001", "000007"],
        "davis17": ["00001/00000", "00001/00001", "00004/00001"],
    }
    for layout, (first, second, last) in names.items():
        with (trees / layout / "samples.csv").open() as file:
            rows = [tuple(row) for row in csv.reader(file)]
        assert rows[0] == ("name", "id", "motion", "step")
        assert rows[1:3] == [(first, "scene_000", "0", "0"), (second, "scene_000", "0", "1")]
        assert rows[-1] == (last, "scene_002", "1", "1")
        assert len(rows) == 9


@pytest.mark.parametrize("layout", LAYOUTS)
def test_same_command_writes_only_what_is_missing(
    trees: Path, clips: DatasetStore, layout: str, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(trees / layout, tree)
    before = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    pictures = sorted(path for path in before if path.suffix in (".flo", ".png", ".ppm", ".jpg"))
    lost, kept = pictures[-1], pictures[0]
    old = kept.stat().st_mtime_ns
    lost.unlink()
    (lost.parent / ".0123.partial").write_bytes(b"left by a killed export")
    summary = export_tree(clips, tree, Watcher(), layout)
    assert (summary.samples, summary.written_now) == (4, 2)
    assert {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()} == before
    assert kept.stat().st_mtime_ns == old


def test_two_layouts_are_not_mixed(trees: Path, clips: DatasetStore) -> None:
    with pytest.raises(PipelineError, match=r"shows another dataset than .*, or other settings"):
        export_tree(clips, trees / "kitti", Watcher(), "sintel")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_single_photos_are_refused_with_the_repair(layout: str, tmp_path: Path) -> None:
    store = make_dataset(str(tmp_path / "photos.zarr"))
    with pytest.raises(PipelineError, match=r"photos.zarr holds single photos, .*`pipeline run --frames 2 "):
        export_tree(store, tmp_path / "tree", Watcher(), layout)
    assert not (tmp_path / "tree").exists()


def test_a_lost_file_is_said_with_the_repair(made_once: Path, tmp_path: Path) -> None:
    shutil.copytree(made_once / "clips.zarr", tmp_path / "lost.zarr")
    for path in (tmp_path / "lost.zarr/later_flow/c").rglob("*"):
        if path.is_file():
            path.unlink()
    with pytest.raises(PipelineError, match=r"later_flow cannot be read .*`pipeline verify --repair .*lost\.zarr`"):
        export_tree(DatasetStore.open(str(tmp_path / "lost.zarr")), tmp_path / "tree", Watcher(), "kitti")


def test_a_dataset_of_one_pair_is_read_by_torchvision(tmp_path: Path) -> None:
    root = draw_duts(tmp_path / "DUTS", 1)
    settings = {"depth_model": "tiny-dpt", "max_side": 64, "workers": 0, "frames": 2}
    run(RunConfig(input=str(root), output=str(tmp_path / "one.zarr"), **settings))  # type: ignore[arg-type]
    export_tree(DatasetStore.open(str(tmp_path / "one.zarr")), tmp_path / "tree", Watcher(), "flyingchairs")
    assert len(FlyingChairs(tmp_path / "tree")) == 1


def test_names_stay_in_order_beyond_the_usual_number_of_digits() -> None:
    names = [_padded(number, 5, 100_001) for number in (9, 99_999, 100_000, 100_001)]
    assert names == sorted(names)
