"""`pipeline publish --without images`: the published copy reads like the dataset, to the bit."""

from __future__ import annotations

import shutil
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pyarrow import parquet

from flowsim import MotionPrior
from pipeline import ClipDataset, PairDataset, RunConfig, open_dataset, run
from pipeline.checking.verify import verify
from pipeline.command.progress import Silent
from pipeline.dataset.shard_writer import write_shard
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from pipeline.recipe.reading import read_recipe
from pipeline.recipe.verdict import compare
from pipeline.recipe.writing import recipe_of, write_recipe
from pipeline.sharing.publish import publish
from segmentation.data.photo_samples import ShardDataset
from segmentation.errors import DatasetError
from tests.conftest import ROOT
from tests.pipeline.conftest import Command
from tests.pipeline.drawn_dataset import contents, make_dataset

CONFIG = RunConfig(
    input="", output="", depth_model="tiny-dpt", max_side=128, samples_per_shard=4, workers=0, device="cpu"
)
KINDS: dict[str, dict[str, Any]] = {
    "photos": {"motions": 2},
    "pairs": {"frames": 2, "motions": 2, "objects": "components"},
    "clips": {"frames": 3},
}
FOLLOWS_FROM_DEPTH = {"flow_px", "backward_flow_px", "labels", "occlusion", "backward_occlusion", "windows"}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a dataset of each kind of the example photos, one of which is broken; publish each without images."""
    folder = tmp_path_factory.mktemp("published")
    shutil.copytree(ROOT / "examples/DUTS", folder / "DUTS")
    photo = next((folder / "DUTS/DUTS-TR/DUTS-TR-Image").glob("coffee*"))
    photo.write_bytes(photo.read_bytes()[:100])
    for kind, settings in KINDS.items():
        config = replace(CONFIG, input=str(folder / "DUTS"), output=str(folder / kind), **settings)
        assert len(run(config).failures) == 1
        publish(config.output, str(folder / f"{kind}-slim"), Silent(), with_images=False)
    return folder


def assert_same(one: object, other: object) -> None:
    """Compare two samples, or the frames of two, field by field to the bit."""
    for name in (field.name for field in fields(one)):  # type: ignore[arg-type]
        first, second = getattr(one, name), getattr(other, name)
        if isinstance(first, np.ndarray):
            np.testing.assert_array_equal(first, second, err_msg=name)
            assert first.dtype == second.dtype
        elif name == "frames" and first is not None:
            assert_same(first, second)
        else:
            assert first == second, name


@pytest.mark.parametrize("kind", KINDS)
def test_every_sample_is_that_of_the_dataset_to_the_bit(places: Path, kind: str) -> None:
    whole = open_dataset(str(places / kind))
    slim = open_dataset(str(places / f"{kind}-slim"), photos=str(places / "DUTS"))
    assert len(slim) == len(whole) == 6
    for one, other in zip(whole, slim, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_every_array_is_that_of_the_dataset_padding_and_failed_rows_included(places: Path, kind: str) -> None:
    whole = DatasetStore.open(str(places / kind))
    slim = DatasetStore.open(str(places / f"{kind}-slim"), str(places / "DUTS"))
    for name in whole.specs(whole.layout):
        np.testing.assert_array_equal(slim.read(name, slice(None)), whole.read(name, slice(None)), err_msg=name)
        np.testing.assert_array_equal(slim.read(name, 2), whole.read(name, 2), err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_what_follows_from_depth_needs_no_photo(places: Path, kind: str) -> None:
    whole, slim = (DatasetStore.open(str(places / name)) for name in (kind, f"{kind}-slim"))
    needs_no_photo = set(slim.layout.left_out) - {"image", "next_image"}
    assert "flow" in needs_no_photo
    for name in needs_no_photo:
        np.testing.assert_array_equal(slim.read(name, slice(None)), whole.read(name, slice(None)), err_msg=name)
    for name in {"image", "next_image"} & set(slim.layout.left_out):
        with pytest.raises(PipelineError, match="was published without images, so its photos are needed here"):
            slim.read(name, 0)


def test_pairs_and_clips_for_pytorch_are_the_same(places: Path) -> None:
    photos = str(places / "DUTS")
    pairs = PairDataset(str(places / "pairs"), crop=(64, 64))
    slim = PairDataset(str(places / "pairs-slim"), crop=(64, 64), photos=photos)
    clips, slim_clips = ClipDataset(str(places / "clips")), ClipDataset(str(places / "clips-slim"), photos=photos)
    for whole, other in ((pairs, slim), (clips, slim_clips)):
        assert len(whole) == len(other)
        for index in range(0, len(whole), 3):
            one, two = whole[index], other[index]
            assert one.pop("id") == two.pop("id")
            assert all(torch.equal(one[name], two[name]) for name in one)
    with pytest.raises(PipelineError, match="so its photos are needed here"):
        PairDataset(str(places / "pairs-slim"))


@pytest.mark.parametrize("flow", ["stored", "fresh", "zero"])
def test_training_reads_the_same_samples_and_asks_for_the_photos(places: Path, flow: str) -> None:
    whole = ShardDataset(str(places / "photos"), flow=flow)
    slim = ShardDataset(str(places / "photos-slim"), flow=flow, photos=str(places / "DUTS"))
    for epoch in (0, 1):
        order = whole.order(epoch).tolist()
        assert slim.order(epoch).tolist() == order
        for one, other in zip(whole.read(order, epoch), slim.read(order, epoch), strict=True):
            assert one.id == other.id
            assert torch.equal(one.image, other.image)
            assert torch.equal(one.mask, other.mask)
            assert torch.equal(one.flow_px.nan_to_num(1e9), other.flow_px.nan_to_num(1e9))
    with pytest.raises(
        DatasetError, match=r"cannot be trained on\. .* so its photos are needed here\. Give their folder by `--photos"
    ):
        ShardDataset(str(places / "photos-slim"), flow=flow)


@pytest.mark.parametrize("kind", KINDS)
def test_the_copy_is_small_whole_and_shows_no_photo(places: Path, kind: str) -> None:
    slim = places / f"{kind}-slim"
    names = {path.name for path in slim.iterdir()}
    assert not names & {"image", "flow", "next_image", "preview.png"}
    assert {"mask", "inverse_depth", "motion", "README.md", "manifest.json"} <= names
    whole_bytes, slim_bytes = (
        sum(file.stat().st_size for file in place.glob("*/c/**/*")) for place in (places / kind, slim)
    )
    assert slim_bytes < 0.5 * whole_bytes
    result = verify(str(slim), Silent(), all_rows=True)
    assert result.is_whole, result.findings
    assert any("made again when read, so not compared: image, flow" in note for note in result.notes)
    assert "photo" not in parquet.read_schema(slim / "preview.parquet").names
    assert "samples/photo" not in (slim / "croissant.json").read_text()
    card = (slim / "README.md").read_text()
    assert "Published without the photos' pixels. `image`, `flow`" in card
    assert "| `flow` |" not in card
    assert "preview.png" not in card


def test_the_same_command_continues_and_damage_is_found(places: Path, tmp_path: Path) -> None:
    target = tmp_path / "slim"
    publish(str(places / "photos"), str(target), Silent(), with_images=False)
    before = contents(target)
    assert before == contents(places / "photos-slim")
    (target / "zarr.json").unlink()
    (target / "mask/c/0/0/0").unlink()
    assert publish(str(places / "photos"), str(target), Silent(), with_images=False).copied == 2
    assert contents(target) == before
    (target / ".fakeflow/commits/000000.json").write_bytes(b"{}")
    assert [finding.key for finding in verify(str(target), Silent()).findings] == [".fakeflow/commits/000000.json"]


def test_another_photo_and_a_missing_one_are_refused(places: Path, tmp_path: Path) -> None:
    shutil.copytree(places / "DUTS", tmp_path / "DUTS")
    images = sorted((tmp_path / "DUTS/DUTS-TR/DUTS-TR-Image").iterdir())
    sample = open_dataset(str(places / "photos-slim"), photos=str(tmp_path / "DUTS"))
    assert images[0].stem == sample[0].id
    images[0].write_bytes(images[0].read_bytes() + b"\0")
    sample = open_dataset(str(places / "photos-slim"), photos=str(tmp_path / "DUTS"))
    with pytest.raises(PipelineError, match=f"has other bytes than the photo that sample {images[0].stem} of"):
        sample[0]
    images[0].unlink()
    sample = open_dataset(str(places / "photos-slim"), photos=str(tmp_path / "DUTS"))
    with pytest.raises(PipelineError, match=f"the photo of sample {images[0].stem} is not in"):
        sample[0]
    assert sample[1].id == images[1].stem


def test_a_folder_of_photos_alone_is_enough(places: Path, tmp_path: Path) -> None:
    shutil.copytree(places / "DUTS/DUTS-TR/DUTS-TR-Image", tmp_path / "photos")
    slim = open_dataset(str(places / "photos-slim"), photos=str(tmp_path / "photos"))
    assert_same(open_dataset(str(places / "photos"))[4], slim[4])


def test_a_run_does_not_continue_a_copy_without_images(places: Path) -> None:
    config = replace(CONFIG, input=str(places / "DUTS"), output=str(places / "photos-slim"), **KINDS["photos"])
    with pytest.raises(PipelineError, match="was published without images and cannot be continued"):
        run(config)


def test_images_that_cannot_be_made_again_are_not_left_out(places: Path, tmp_path: Path, pipeline: Command) -> None:
    make_dataset(str(tmp_path / "old.zarr"))  # records no originals, like earlier versions
    done = pipeline("publish", tmp_path / "old.zarr", tmp_path / "slim", "--without", "images")
    assert "did not record the checksums of photos" in done.said
    done = pipeline("publish", places / "photos-slim", tmp_path / "slim", "--without", "images")
    assert "has no images already" in done.said
    prior = MotionPrior.preset("davis").to_dict() | {"object_area": [0.01, 0.02]}
    store = DatasetStore.open(str(shutil.copytree(places / "pairs", tmp_path / "pairs")))
    attributes = {k: v for k, v in store.attributes.items() if k in ("source", "licence")}
    settings = {**store.attributes["settings"], "motion_prior": prior}
    from pipeline.making.config import fingerprint

    store.grow(store.layout, {**attributes, "settings": settings, "fingerprint": fingerprint(settings)})
    done = pipeline("publish", tmp_path / "pairs", tmp_path / "slim", "--without", "images")
    assert "shows smaller objects than its photos" in done.said
    assert not (tmp_path / "slim").exists()


def test_flow_of_other_bits_is_not_left_out(places: Path, tmp_path: Path) -> None:
    store = DatasetStore.open(str(shutil.copytree(places / "photos", tmp_path / "x.zarr")))
    rows = store.layout.rows(0)
    arrays = {name: store.read(name, slice(rows.start, rows.stop)).copy() for name in store.specs(store.layout)}
    arrays["flow"][1, 0, 5, 5, 0] += 1  # within the tolerance of `verify`
    record = store.commits.read(0)
    write_shard(
        store, 0, arrays, [one for one in store.failures() if one.row in rows], "float32", originals=record["originals"]
    )
    assert verify(store.url, Silent(), all_rows=True).is_whole
    with pytest.raises(PipelineError, match=r"flow of sample .*, made again here, differ from what is stored"):
        publish(store.url, str(tmp_path / "slim"), Silent(), with_images=False)


def test_all_is_made_again_from_copy_recipe_and_photos_after_everything_else_was_deleted(
    tmp_path: Path, pipeline: Command
) -> None:
    shutil.copytree(ROOT / "examples/DUTS", tmp_path / "DUTS")
    made, slim, recipe, again = (tmp_path / name for name in ("x.zarr", "published", "x.json", "again.zarr"))
    settings = ("--depth-model", "tiny-dpt", "--max-side", 128, "--frames", 2, "--samples-per-shard", 4)
    assert pipeline("run", "--input", tmp_path / "DUTS", "--output", made, *settings).returncode == 0
    assert pipeline("recipe", made, recipe).returncode == 0
    assert pipeline("publish", made, slim, "--without", "images").returncode == 0
    first = {key: sha for key, sha in contents(made).items() if not key.startswith(".fakeflow/commits/0")}
    samples = list(open_dataset(str(made)))
    shutil.rmtree(made)
    done = pipeline("run", "--recipe", recipe, "--input", tmp_path / "DUTS", "--output", again)
    assert (done.returncode, "equal to the bit: 7 samples" in done.stdout) == (0, True), done.said
    assert {key: sha for key, sha in contents(again).items() if not key.startswith(".fakeflow/commits/0")} == first
    for one, other in zip(samples, open_dataset(str(slim), photos=str(tmp_path / "DUTS")), strict=True):
        assert_same(one, other)
    done = pipeline("verify", slim, "--against", recipe)
    assert done.returncode == 0
    assert "equal to the bit: 7 samples; left out, compared by their recorded checksums: image, flow" in done.stdout


def test_the_recipe_of_a_copy_is_refused_and_another_copy_differs(places: Path, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="write the recipe from the whole dataset"):
        recipe_of(DatasetStore.open(str(places / "photos-slim")), Silent())
    recipe = recipe_of(DatasetStore.open(str(places / "photos")), Silent())
    shards = recipe.shards.copy()
    shards[1] ^= 1
    write_recipe(replace(recipe, shards=shards), str(tmp_path / "x.json"))
    verdict = compare(DatasetStore.open(str(places / "photos-slim")), read_recipe(str(tmp_path / "x.json")), Silent())
    assert verdict.kind == "different"
    assert [why.partition(";")[0] for _, why in verdict.samples] == ["its shard has other checksums"] * 3
