"""`pipeline export`: the tree that the original training code reads."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from flowsim import flow_to_rgb
from pipeline.commands import app
from pipeline.dataset import schema
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from pipeline.making.config import RunConfig
from pipeline.making.run import run
from pipeline.photos.listing import build_listing
from pipeline.sharing.export import export_tree
from tests.conftest import draw_duts
from tests.file_operations import assert_written_whole, watched_files
from tests.pipeline.making.test_run import Watcher

FOLDERS = ("JPEGImages", "JPEGFlows", "Annotations")


def make(root: Path, output: Path, motions: int = 1) -> DatasetStore:
    settings = {"depth_model": "tiny-dpt", "max_side": 96, "samples_per_shard": 2, "motion": "camera+object"}
    run(RunConfig(input=str(root), output=str(output), workers=0, motions=motions, **settings), Watcher())  # type: ignore[arg-type]
    return DatasetStore.open(str(output))


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `one.zarr` and `two.zarr` (two motions) of five photos, of which the second is damaged."""
    folder = tmp_path_factory.mktemp("export")
    root = draw_duts(folder / "DUTS", 5)
    (root / "DUTS-TR/DUTS-TR-Image/scene_001.png").write_bytes(b"no photo")
    make(root, folder / "one.zarr")
    make(root, folder / "two.zarr", motions=2)
    return folder


@pytest.fixture
def one(made_once: Path) -> DatasetStore:
    return DatasetStore.open(str(made_once / "one.zarr"))


def names(tree: Path) -> list[list[str]]:
    return [sorted(path.stem for path in (tree / folder).iterdir()) for folder in FOLDERS]


def test_tree_has_the_published_layout_and_the_samples_pixels(one: DatasetStore, tmp_path: Path) -> None:
    summary = export_tree(one, tmp_path / "tree", Watcher())
    assert (summary.samples, summary.written_now, summary.left_out) == (4, 4, 1)
    assert names(tmp_path / "tree") == [["scene_000", "scene_002", "scene_003", "scene_004"]] * 3
    for row in (0, 2, 3, 4):
        height, width = one.read("size", row)
        stem = f"scene_{row:03d}"
        with Image.open(tmp_path / f"tree/Annotations/{stem}.png") as mask:
            assert mask.mode == "L"
            np.testing.assert_array_equal(np.asarray(mask), one.read("mask", row)[:height, :width])
        with Image.open(tmp_path / f"tree/JPEGImages/{stem}.jpg") as photo:
            error = np.asarray(photo).astype(int) - one.read("image", row)[:height, :width]
            assert np.abs(error).mean() < 8
        flow = schema.decode_flow(one.read("flow", row)[0, :height, :width])
        with Image.open(tmp_path / f"tree/JPEGFlows/{stem}.jpg") as colours:
            assert np.abs(np.asarray(colours).astype(int) - flow_to_rgb(flow)).mean() < 2


def test_our_own_manifest_reads_the_tree(one: DatasetStore, tmp_path: Path) -> None:
    export_tree(one, tmp_path / "tree", Watcher())
    manifest = build_listing(str(tmp_path / "tree"))
    assert manifest.source == "DUTSv2"
    assert [row.id for row in manifest.rows] == ["scene_000", "scene_002", "scene_003", "scene_004"]
    assert manifest.notes == ()


def test_several_motions_repeat_the_photo_so_that_the_folders_agree(made_once: Path, tmp_path: Path) -> None:
    summary = export_tree(DatasetStore.open(str(made_once / "two.zarr")), tmp_path / "tree", Watcher())
    assert summary.samples == 8
    photos, flows, masks = names(tmp_path / "tree")
    assert photos == flows == masks
    assert photos[:3] == ["scene_000_m0", "scene_000_m1", "scene_002_m0"]
    tree = tmp_path / "tree"
    first, second = ((tree / f"JPEGFlows/scene_000_m{k}.jpg").read_bytes() for k in range(2))
    assert first != second
    assert (tree / "JPEGImages/scene_000_m0.jpg").read_bytes() == (tree / "JPEGImages/scene_000_m1.jpg").read_bytes()


def test_same_command_writes_only_what_is_missing(one: DatasetStore, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    export_tree(one, tree, Watcher())
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tree.rglob("*.*g")}
    (tree / "JPEGFlows/scene_003.jpg").unlink()
    (tree / "JPEGFlows/.scene_002.jpg.0123.partial").write_bytes(b"left by a killed export")
    watcher = Watcher()
    summary = export_tree(one, tree, watcher)
    assert (summary.samples, summary.written_now) == (4, 1)
    assert watcher.counts[-1] == (4, 4, 0)
    assert {path: path.read_bytes() for path in tree.rglob("*.*g")} == {path: old[0] for path, old in before.items()}
    kept = tree / "JPEGFlows/scene_002.jpg"
    assert kept.stat().st_mtime_ns == before[kept][1]
    assert not list(tree.rglob("*.partial"))


def test_pictures_are_on_the_disk_before_they_have_their_names(one: DatasetStore, tmp_path: Path) -> None:
    """A continued export takes a picture that has its name for a whole one."""
    with watched_files() as operations:
        export_tree(one, tmp_path / "tree", Watcher())
    for path in (tmp_path / "tree").rglob("*.*g"):
        assert_written_whole(path, operations)


def test_two_datasets_are_never_mixed(one: DatasetStore, made_once: Path, tmp_path: Path) -> None:
    export_tree(one, tmp_path / "tree", Watcher())
    with pytest.raises(PipelineError, match="shows another dataset"):
        export_tree(DatasetStore.open(str(made_once / "two.zarr")), tmp_path / "tree", Watcher())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("keep me")
    with pytest.raises(PipelineError, match=r"other files in it \(thesis.txt\)"):
        export_tree(one, tmp_path / "mine", Watcher())
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_file_in_place_of_the_folder_is_refused_with_a_repair(one: DatasetStore, tmp_path: Path) -> None:
    (tmp_path / "tree").write_text("mine")
    with pytest.raises(PipelineError, match=r"tree is a file; expected a folder. Choose one that does not exist yet."):
        export_tree(one, tmp_path / "tree", Watcher())
    assert (tmp_path / "tree").read_text() == "mine"


def test_unfinished_dataset_is_refused(made_once: Path, tmp_path: Path) -> None:
    shutil.copytree(made_once / "one.zarr", tmp_path / "part.zarr")
    (tmp_path / "part.zarr/.fakeflow/commits/000001.json").unlink()
    with pytest.raises(PipelineError, match=r"unfinished: 1 of 3 shards are missing"):
        export_tree(DatasetStore.open(str(tmp_path / "part.zarr")), tmp_path / "tree", Watcher())
    assert not (tmp_path / "tree").exists()


def test_an_id_cannot_leave_the_folder(made_once: Path, tmp_path: Path) -> None:
    shutil.copytree(made_once / "one.zarr", tmp_path / "evil.zarr")
    store = DatasetStore.open(str(tmp_path / "evil.zarr"))
    store.group["id"][0] = "../../escaped"
    store.group["id"][2] = ""
    store.group["id"][3] = "two\nlines\x1b[2J"
    summary = export_tree(store, tmp_path / "a/b/tree", Watcher())
    assert [sample_id for sample_id, _ in summary.failures] == ["../../escaped", "", "two\nlines\x1b[2J"]
    assert all("cannot be a file's name" in why for _, why in summary.failures)
    assert (summary.samples, names(tmp_path / "a/b/tree")) == (1, [["scene_004"]] * 3)
    assert not list(tmp_path.rglob("escaped*"))
    said = CliRunner().invoke(app, ["export", store.url, str(tmp_path / "a/b/tree")])
    assert said.exit_code == 3
    assert "not written: two\\nlines\\x1b[2J: the id cannot" in said.output
    assert "\x1b" not in said.output


def test_a_name_may_be_as_long_as_the_file_system_allows_and_a_longer_one_fails_alone(
    made_once: Path, tmp_path: Path
) -> None:
    shutil.copytree(made_once / "two.zarr", tmp_path / "two.zarr")
    store = DatasetStore.open(str(tmp_path / "two.zarr"))
    longest, too_long = "n" * (255 - len("_m0.jpg")), "ü" * 127
    store.group["id"][0], store.group["id"][2], store.group["id"][3] = longest, "n" * 210, too_long
    summary = export_tree(store, tmp_path / "tree", Watcher())
    assert [sample_id for sample_id, _ in summary.failures] == [too_long]
    assert "File name too long" in summary.failures[0][1]
    assert summary.samples == 6
    stems = sorted(f"{stem}_m{k}" for stem in (longest, "n" * 210, "scene_004") for k in (0, 1))
    assert names(tmp_path / "tree") == [stems] * 3
    again = export_tree(store, tmp_path / "tree", Watcher())
    assert (again.written_now, again.failures) == (0, summary.failures)


def test_a_sample_whose_flow_cannot_be_written_leaves_no_photo_either(one: DatasetStore, tmp_path: Path) -> None:
    export_tree(one, tmp_path / "tree", Watcher())
    for folder in FOLDERS:
        next((tmp_path / "tree" / folder).glob("scene_002.*")).unlink()
    (tmp_path / "tree/JPEGFlows/scene_002.jpg").mkdir()
    summary = export_tree(one, tmp_path / "tree", Watcher())
    assert [sample_id for sample_id, _ in summary.failures] == ["scene_002"]
    assert "Is a directory" in summary.failures[0][1]
    assert [path.name for path in (tmp_path / "tree").rglob("scene_002*")] == ["scene_002.jpg"]


def test_command_says_what_was_left_out(one: DatasetStore, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["export", one.url, str(tmp_path / "tree")])
    assert done.exit_code == 0, done.output
    assert "4 samples, 4 written now" in done.output
    assert "1 failed photo left out" in done.output
    (tmp_path / "file").write_text("")
    with pytest.raises(PipelineError, match="cannot write"):
        CliRunner().invoke(app, ["export", one.url, str(tmp_path / "file/tree")], catch_exceptions=False)
