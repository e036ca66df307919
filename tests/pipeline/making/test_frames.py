"""Datasets of pairs and clips: frames, flow both ways and occlusion, with the guarantees of every dataset."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

import pipeline
from flowsim import MotionPrior
from flowsim.prior_toml import to_toml
from pipeline.checking.findings import Finding
from pipeline.checking.verify import verify
from pipeline.command.progress import Silent
from pipeline.commands import app
from pipeline.dataset import schema
from pipeline.dataset.sealed import FIELD, UNSEALED, seal
from pipeline.dataset.shard_writer import write_shard
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from pipeline.making.config import RunConfig
from pipeline.making.run import run
from pipeline.photos.objects import number_objects
from tests.conftest import draw_duts
from tests.pipeline.drawn_dataset import contents

SMALL = {"depth_model": "tiny-dpt", "max_side": 96, "samples_per_shard": 2, "workers": 0}


def config(root: Path, output: Path, **changes: object) -> RunConfig:
    return RunConfig(**{"input": str(root), "output": str(output), **SMALL, **changes})  # type: ignore[arg-type]


def findings(url: Path) -> Sequence[Finding]:
    return verify(str(url), Silent()).findings


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frames")
    photos = draw_duts(folder / "DUTS", 3)
    run(config(photos, folder / "pairs.zarr", frames=2))
    run(config(photos, folder / "clips.zarr", frames=4, motions=2, objects="components"))
    return folder


@pytest.fixture
def made(made_once: Path, tmp_path: Path) -> Path:
    shutil.copytree(made_once, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_frames_are_the_photo_warped_by_the_stored_flow(made_once: Path) -> None:
    for sample in pipeline.open_dataset(str(made_once / "clips.zarr")):
        frames = sample.frames
        assert frames is not None
        assert frames.images.shape == (2, 3, *sample.image.shape)
        rows, columns = np.mgrid[: sample.image.shape[0], : sample.image.shape[1]].astype(np.float32)
        for motion in range(2):
            clip = [sample.image, *frames.images[motion]]
            for step in range(3):
                for start, end, flow, occlusion in (
                    (step, step + 1, frames.flow_px, frames.occlusion),
                    (step + 1, step, frames.backward_flow_px, frames.backward_occlusion),
                ):
                    u, v = np.moveaxis(flow[motion, step], -1, 0)
                    warped = cv2.remap(clip[end], columns + u, rows + v, cv2.INTER_CUBIC)
                    is_visible = (occlusion[motion, step] == 0) & np.isfinite(u)
                    assert is_visible.mean() > 0.4
                    # the drawn photos are noise of single pixels, which any interpolation smooths
                    assert np.median(np.abs(warped.astype(int) - clip[start])[is_visible]) <= 4


def test_the_flow_of_a_pair_is_that_of_its_first_step(made_once: Path) -> None:
    sample = pipeline.open_dataset(str(made_once / "clips.zarr"))[0]
    assert sample.frames is not None
    assert np.array_equal(sample.frames.flow_px[:, 0], sample.flow_px, equal_nan=True)
    first, last = sample.frames.windows[0, :2], sample.frames.windows[0, 2:]
    inside = sample.frames.labels[0][:, slice(*first), slice(*last)]
    assert (inside == schema.SHOWS_NOTHING).mean() < 0.01


def test_the_bytes_do_not_depend_on_how_the_work_was_divided(made: Path) -> None:
    undisturbed = contents(made / "clips.zarr")
    settings = {"frames": 4, "motions": 2, "objects": "components"}
    run(config(made / "DUTS", made / "again.zarr", **settings))
    assert contents(made / "again.zarr") == undisturbed
    shutil.rmtree(made / "again.zarr/next_image/c/1")
    (made / "again.zarr/.fakeflow/commits/000001.json").unlink()
    run(config(made / "DUTS", made / "again.zarr", **settings))
    assert contents(made / "again.zarr") == undisturbed


@pytest.mark.slow
def test_workers_on_ray_give_the_same_bytes(made: Path) -> None:
    undisturbed = contents(made / "clips.zarr")
    run(config(made / "DUTS", made / "ray.zarr", frames=4, motions=2, objects="components", workers=2))
    assert contents(made / "ray.zarr") == undisturbed


def test_without_the_option_nothing_changes(made: Path) -> None:
    run(config(made / "DUTS", made / "plain.zarr"))
    store = DatasetStore.open(str(made / "plain.zarr"))
    assert set(schema.array_specs(store.layout)) == {
        "image", "mask", "inverse_depth", "flow", "size", "id", "status", "motion",
    }  # fmt: skip
    assert not {"frames", "objects"} & set(store.attributes["settings"])
    assert pipeline.open_dataset(str(made / "plain.zarr"))[0].frames is None


def test_a_dataset_of_schema_version_2_is_read_and_continued(made: Path) -> None:
    photos, output = made / "DUTS", made / "plain.zarr"
    run(config(photos, output))
    expected = pipeline.open_dataset(str(output))[2]
    root = json.loads((output / "zarr.json").read_text())
    ours = root["attributes"]["fakeflow"]
    ours["schema_version"], ours[FIELD] = 2, UNSEALED
    for later in ("frames", "objects"):
        del ours["layout"][later]
    (output / "zarr.json").write_bytes(seal(json.dumps(root, indent=2).encode()))
    for record in (output / ".fakeflow/commits").glob("*.json"):
        record.unlink()
    assert run(config(photos, output)).photos_made_now == 3
    assert np.array_equal(pipeline.open_dataset(str(output))[2].flow_px, expected.flow_px, equal_nan=True)
    assert not findings(output)


def rewrite(url: Path, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    """Write the first shard anew with values that are wrong, but stored without fault."""
    store = DatasetStore.open(str(url))
    arrays = {name: store.read(name, slice(0, 2)) for name in schema.array_specs(store.layout)}
    change(arrays)
    write_shard(store, 0, arrays, [], "float32")


@pytest.mark.parametrize(
    ("name", "place", "value", "problem"),
    [
        ("next_image", (1, 0, 0, slice(5, 20), slice(5, 20)), 0, r"next_image 0: .*% of its values differ"),
        ("occlusion", (0, 0, 0, slice(5, 20), slice(5, 20)), 2, r"occlusion 0: .*% of its values differ"),
        ("next_labels", (0, 0, 0, slice(5, 20), slice(5, 20)), 9, r"next_labels 0: .*% of its values differ"),
        ("backward_flow", (0, 0, 0, slice(5, 20), 5), 99, "backward_flow 0: differs by up to"),
        ("window", (0, 0, 0), 9, "window 0: 25.00% of its values differ"),
        ("flow", (0, 0, 5, 5, 0), 999, "flow 0: differs by up to"),
    ],
)
def test_verify_makes_frames_again_and_names_what_differs(
    made: Path, name: str, place: tuple[object, ...], value: int, problem: str
) -> None:
    assert not findings(made / "pairs.zarr")
    rewrite(made / "pairs.zarr", lambda arrays: arrays[name].__setitem__(place, value))
    found = findings(made / "pairs.zarr")
    assert found
    assert re.search(problem, found[0].problem)


def test_other_frames_are_another_dataset(made: Path) -> None:
    with pytest.raises(PipelineError, match="frames: 2 -> None"):
        run(config(made / "DUTS", made / "pairs.zarr"))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--frames", "17"], "--frames is 17; expected 1 to 16."),
        (["--frames", "0"], "--frames is 0; expected at least 1."),
        (["--objects", "components"], "--objects components needs frames: add --frames 2"),
        (["--motion", "davis-small"], "--motion davis-small has smaller objects (`object_area`), which need frames"),
    ],
)
def test_impossible_settings_are_refused_in_a_sentence(tmp_path: Path, options: list[str], sentence: str) -> None:
    answer = CliRunner().invoke(app, ["run", "--input", "x", "--output", str(tmp_path / "x.zarr"), *options])
    assert isinstance(answer.exception, PipelineError)
    assert sentence in str(answer.exception)


def test_large_parts_of_a_mask_are_objects_and_small_ones_belong_to_the_nearest() -> None:
    mask = np.zeros((60, 100), np.uint8)
    mask[10:30, 10:30] = 255  # 400 px
    mask[20:55, 60:90] = 255  # 1,050 px: the largest, so it is object 1
    mask[12:14, 34:36] = 255  # 4 px near the first
    assert number_objects(mask, separates_parts=False).max() == 1
    labels = number_objects(mask, separates_parts=True)
    assert (labels[20:55, 60:90] == 1).all()
    assert (labels[10:30, 10:30] == 2).all()
    assert (labels[12:14, 34:36] == 2).all()
    assert np.array_equal(labels > 0, mask > 0)


def test_a_mask_of_specks_is_one_object_and_more_than_eight_parts_are_eight_objects() -> None:
    specks = np.zeros((100, 100), np.uint8)
    specks[::10, ::10] = 255
    assert number_objects(specks, separates_parts=True).max() == 1
    grid = np.zeros((100, 100), np.uint8)
    for row in (5, 40, 75):
        for column in (5, 27, 49, 71):
            grid[row : row + 15, column : column + 15] = 255
    labels = number_objects(grid, separates_parts=True)
    assert labels.max() == 8
    assert np.array_equal(labels > 0, grid > 0)


def draw_boxes(root: Path, *boxes: tuple[slice, slice]) -> None:
    """Write a DUTS tree of one photo of 90 x 120 px whose objects are boxes."""
    folder = root / "DUTS-TR"
    (folder / "DUTS-TR-Image").mkdir(parents=True)
    (folder / "DUTS-TR-Mask").mkdir()
    random = np.random.default_rng(0)
    photo = cv2.GaussianBlur(random.integers(0, 255, (90, 120, 3), np.uint8), (0, 0), 2)
    mask = np.zeros((90, 120), np.uint8)
    for box in boxes:
        mask[box] = 255
    cv2.imwrite(str(folder / "DUTS-TR-Image/boxes.png"), photo)
    cv2.imwrite(str(folder / "DUTS-TR-Mask/boxes.png"), mask)


def test_pairs_of_a_motion_model_with_smaller_objects_show_them_smaller_and_photos_do_not(tmp_path: Path) -> None:
    draw_boxes(tmp_path / "DUTS", (slice(20, 70), slice(30, 90)))  # 28 % of the picture
    model = tmp_path / "smaller.toml"
    model.write_text(to_toml(replace(MotionPrior.preset("davis"), object_area=(0.06, 0.07)), "davis"))
    made = {}
    for name, changes in {"photo": {}, "pair": {"motion": str(model), "frames": 2}}.items():
        run(config(tmp_path / "DUTS", tmp_path / f"{name}.zarr", **changes))
        (made[name],) = pipeline.open_dataset(str(tmp_path / f"{name}.zarr"))
    small, large = ((made[name].mask > 0).mean() for name in ("pair", "photo"))
    assert 0.055 < small < 0.075
    assert large == pytest.approx(50 * 60 / (90 * 120), abs=0.01)
    is_changed = (made["pair"].image != made["photo"].image).any(-1)
    assert is_changed[made["photo"].mask > 0].mean() > 0.5
    assert is_changed[:10].mean() < 0.01  # far from the object the photo stays
    assert not findings(tmp_path / "pair.zarr")


def test_objects_of_one_photo_move_apart(tmp_path: Path) -> None:
    draw_boxes(tmp_path / "DUTS", (slice(20, 70), slice(10, 50)), (slice(20, 70), slice(75, 110)))
    run(config(tmp_path / "DUTS", tmp_path / "two.zarr", frames=2, objects="components", motion="camera+object"))
    (sample,) = pipeline.open_dataset(str(tmp_path / "two.zarr"))
    assert sorted(np.unique(sample.labels)) == [0, 1, 2]
    means = [np.nanmean(sample.flow_px[0][sample.labels == number], 0) for number in (1, 2)]
    assert np.hypot(*(means[0] - means[1])) > 0.3
    assert not findings(tmp_path / "two.zarr")
