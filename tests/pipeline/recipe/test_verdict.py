"""`pipeline verify --against`: equal to the bit, equal within bounds, or which samples differ and why."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from depth import DepthEstimator
from flowsim import MotionPrior
from pipeline.command.progress import Silent
from pipeline.dataset import schema
from pipeline.dataset.shard_writer import write_shard
from pipeline.dataset.store import DatasetStore
from pipeline.engine.placement import local_share
from pipeline.making.config import RunConfig
from pipeline.making.plan import make_plan
from pipeline.making.run import run
from pipeline.making.sample import fill_row
from pipeline.making.worker import ShardWorker
from pipeline.photos.listing import build_listing
from pipeline.recipe.reading import read_recipe
from pipeline.recipe.recipe import Recipe
from pipeline.recipe.verdict import Verdict, compare
from pipeline.recipe.writing import recipe_of, write_recipe
from tests.conftest import ROOT
from tests.pipeline.conftest import Command

CONFIG = RunConfig(
    input=str(ROOT / "examples/DUTS"),
    output="",
    depth_model="tiny-dpt",
    max_side=160,
    samples_per_shard=4,
    workers=0,
    device="cpu",
)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Recipe]:
    """Make a dataset of the example photos and its recipe."""
    folder = tmp_path_factory.mktemp("first")
    run(replace(CONFIG, output=str(folder / "x.zarr")))
    recipe = recipe_of(DatasetStore.open(str(folder / "x.zarr")), Silent())
    write_recipe(recipe, str(folder / "x.json"))
    return folder, recipe


@pytest.fixture
def copy(first: tuple[Path, Recipe], tmp_path: Path) -> DatasetStore:
    """Copy the dataset, to be changed by the test."""
    shutil.copytree(first[0] / "x.zarr", tmp_path / "y.zarr")
    return DatasetStore.open(str(tmp_path / "y.zarr"))


def with_other_depth(store: DatasetStore, row: int, steps: int) -> None:
    """Write the shard of one row again with a depth that is moved by some of 4095 steps, and the flow that follows."""
    shard = row // store.layout.samples_per_shard
    rows = store.layout.rows(shard)
    arrays = {name: store.read(name, slice(rows.start, rows.stop)).copy() for name in store.specs(store.layout)}
    place = row - rows.start
    height, width = map(int, arrays["size"][place])
    inside = place, slice(height), slice(width)
    moved = np.clip(arrays["inverse_depth"][inside].astype(int) + steps, 0, schema.INVERSE_DEPTH_STEPS)
    depth = schema.decode_inverse_depth(moved.astype(np.uint16))
    prior = MotionPrior.from_dict(store.attributes["settings"]["motion_prior"])
    image, mask = arrays["image"][inside].copy(), arrays["mask"][inside].copy()
    fill_row(arrays, place, CONFIG, prior, image, mask, depth, "cpu")
    record = store.commits.read(shard)
    write_shard(store, shard, arrays, [], "bfloat16", originals=record["originals"])


def verdict_of(store: DatasetStore, recipe: Recipe) -> Verdict:
    return compare(DatasetStore.open(store.url), recipe, Silent())


def test_a_copy_is_equal_to_the_bit(first: tuple[Path, Recipe], copy: DatasetStore) -> None:
    verdict = verdict_of(copy, first[1])
    assert (verdict.kind, verdict.sentence) == ("bits", "equal to the bit: 7 samples")


def test_depth_of_a_network_in_bfloat16_is_equal_within_the_bounds(
    first: tuple[Path, Recipe], copy: DatasetStore
) -> None:
    config = replace(CONFIG, output=copy.url)
    for shard in range(copy.layout.shard_count):
        copy.commits.drop(shard)
    worker = ShardWorker(config, local_share("cpu"))
    worker.estimator = DepthEstimator.load("tiny-dpt", device="cpu", precision="bfloat16")
    for task in make_plan(copy, build_listing(config.input), retry_failed=False).tasks:
        worker.make(task)
    verdict = verdict_of(copy, first[1])
    assert verdict.kind == "bounds", verdict.lines
    assert "equal within bounds: 7 of 7 samples have another depth" in verdict.sentence
    assert "precision of the depth network: float32 -> bfloat16" in verdict.sentence


@pytest.mark.parametrize(("steps", "kind"), [(12, "bounds"), (300, "different")])
def test_the_sample_with_another_depth_is_named_beyond_the_bounds_alone(
    first: tuple[Path, Recipe], copy: DatasetStore, steps: int, kind: str
) -> None:
    with_other_depth(copy, 5, steps)
    verdict = verdict_of(copy, first[1])
    assert verdict.kind == kind
    if kind == "different":
        ((sample_id, why),) = verdict.samples
        assert sample_id == first[1].ids[5]
        assert "mean inverse depth differs by 0.07" in why


def test_another_flow_with_the_same_depth_is_named(first: tuple[Path, Recipe], copy: DatasetStore) -> None:
    rows = copy.layout.rows(0)
    arrays = {name: copy.read(name, slice(rows.start, rows.stop)).copy() for name in copy.specs(copy.layout)}
    arrays["flow"][2, :, :40, :40] += 64 * 30
    write_shard(copy, 0, arrays, [], "float32", originals=copy.commits.read(0)["originals"])
    verdict = verdict_of(copy, first[1])
    assert [sample_id for sample_id, _ in verdict.samples] == [first[1].ids[2]]
    arrays["flow"][2, :, :40, :40] -= 64 * 28  # 2 px in a part of the picture: only making flow again finds that
    write_shard(copy, 0, arrays, [], "float32", originals=copy.commits.read(0)["originals"])
    ((sample_id, why),) = verdict_of(copy, first[1]).samples
    assert sample_id == first[1].ids[2]
    assert "from the flow that its motion makes" in why


def test_an_image_that_decodes_to_other_pixels_is_named(first: tuple[Path, Recipe], copy: DatasetStore) -> None:
    rows = copy.layout.rows(1)
    arrays = {name: copy.read(name, slice(rows.start, rows.stop)).copy() for name in copy.specs(copy.layout)}
    arrays["image"][1, 3, 4, 0] ^= 1
    write_shard(copy, 1, arrays, [], "float32", originals=copy.commits.read(1)["originals"])
    ((sample_id, why),) = verdict_of(copy, first[1]).samples
    assert sample_id == first[1].ids[5]
    assert "Pillow or OpenCV" in why


def test_values_that_were_compressed_in_another_way_are_equal_to_the_bit(
    first: tuple[Path, Recipe], copy: DatasetStore
) -> None:
    shards = first[1].shards.copy()
    shards[0] ^= 1
    other = Recipe(**{**vars(first[1]), "shards": shards})
    verdict = verdict_of(copy, other)
    assert verdict.sentence == "equal to the bit: 7 samples; 1 shard compressed in another way"


def test_a_dataset_of_other_settings_or_other_photos_is_another_dataset(
    first: tuple[Path, Recipe], tmp_path: Path, pipeline: Command
) -> None:
    run(replace(CONFIG, output=str(tmp_path / "y.zarr"), seed=1))
    done = pipeline("verify", tmp_path / "y.zarr", "--against", first[0] / "x.json")
    assert done.returncode == 4
    assert "another dataset: its settings are not those of the recipe (recipe -> dataset): seed: 0 -> 1" in done.stderr


def test_verify_compares_an_intact_dataset_alone(
    first: tuple[Path, Recipe], copy: DatasetStore, pipeline: Command
) -> None:
    done = pipeline("verify", copy.url, "--against", first[0] / "x.json")
    assert (done.returncode, "intact" in done.stdout, "equal to the bit" in done.stdout) == (0, True, True)
    with_other_depth(copy, 0, 300)
    done = pipeline("verify", copy.url, "--against", first[0] / "x.json")
    assert (done.returncode, "different: 1 of 7 samples" in done.stderr) == (4, True)
    copy.commits.drop(0)
    done = pipeline("verify", copy.url, "--against", str(first[0] / "x.json"))
    assert (done.returncode, "1 of 2 shards not made yet" in done.stderr) == (4, True)
    assert "equal" not in done.stdout
    assert read_recipe(str(first[0] / "x.json")).ids == first[1].ids
