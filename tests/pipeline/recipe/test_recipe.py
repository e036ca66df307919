"""`pipeline recipe` and `pipeline run --recipe`: a dataset made again from its recipe and the same photos."""

from __future__ import annotations

import json
import re
import shutil
import zlib
from pathlib import Path

import fsspec
import numpy as np
import pytest

from depth.model_files import EMBEDDED_FOLDER
from flowsim import MotionPrior, MotionSample
from pipeline.command.progress import Silent
from pipeline.dataset.schema import Layout
from pipeline.dataset.sealed import FIELD, UNSEALED, sealed_json
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from pipeline.making.config import RunConfig, fingerprint
from pipeline.making.run import run
from pipeline.recipe.columns import WIDTHS, PhotoColumns, pack_text, unpack_text
from pipeline.recipe.reading import parse_recipe, read_recipe
from pipeline.recipe.recipe import Recipe
from pipeline.recipe.writing import recipe_of, write_recipe
from tests.conftest import ROOT, MakeDuts, draw_duts, draw_scene, write_png
from tests.pipeline.conftest import Command
from tests.pipeline.drawn_dataset import contents, make_dataset

SETTINGS = ("--depth-model", "tiny-dpt", "--max-side", 96, "--samples-per-shard", 2, "--seed", 3)


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a dataset of five photos and its recipe."""
    folder = tmp_path_factory.mktemp("made")
    photos = draw_duts(folder / "DUTS", 5)
    run(
        RunConfig(
            input=str(photos),
            output=str(folder / "x.zarr"),
            depth_model="tiny-dpt",
            max_side=96,
            samples_per_shard=2,
            seed=3,
            workers=0,
        )
    )
    write_recipe(recipe_of(DatasetStore.open(str(folder / "x.zarr")), Silent()), str(folder / "x.json"))
    return folder


@pytest.fixture
def made(made_once: Path, tmp_path: Path) -> Path:
    """Return a folder with DUTS, x.zarr and x.json."""
    shutil.copytree(made_once, tmp_path, dirs_exist_ok=True)
    return tmp_path


def arrays_of(dataset: Path) -> dict[str, str]:
    """Return the checksums of all arrays and of all metadata; commit records name times of files, too."""
    return {key: sha256 for key, sha256 in contents(dataset).items() if not key.startswith(".fakeflow/commits/0")}


def follow(pipeline: Command, folder: Path, *more: object, photos: str = "DUTS") -> tuple[int, str]:
    """Make y.zarr by the recipe; return the exit status and all output."""
    done = pipeline(
        "run", "--recipe", folder / "x.json", "--input", folder / photos, "--output", folder / "y.zarr", *more
    )
    return done.returncode, done.said


@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("--motions", 2, "--frames", 2, "--objects", "components"),
        ("--frames", 3),
        ("--motion", "camera", "--normalization", "percentile", "--limit", 3),
    ],
)
def test_the_dataset_is_made_again_to_the_bit_from_recipe_and_photos_alone(
    settings: tuple[object, ...], tmp_path: Path, pipeline: Command
) -> None:
    photos = tmp_path / "DUTS"
    shutil.copytree(ROOT / "examples/DUTS", photos)
    made, recipe = tmp_path / "x.zarr", tmp_path / "x.json"
    basic = ("--depth-model", "tiny-dpt", "--max-side", 128, "--samples-per-shard", 4)
    assert pipeline("run", "--input", photos, "--output", made, *basic, *settings).returncode == 0
    assert pipeline("recipe", made, recipe).returncode == 0
    first = arrays_of(made)
    shutil.rmtree(made)
    photos.rename(tmp_path / "elsewhere")
    status, said = follow(pipeline, tmp_path, photos="elsewhere")
    assert status == 0, said
    assert "equal to the bit" in said
    assert arrays_of(tmp_path / "y.zarr") == first
    assert "equal to the bit" in pipeline("verify", tmp_path / "y.zarr", "--against", recipe).stdout


def test_a_motion_model_of_a_file_comes_from_the_recipe(make_duts: MakeDuts, tmp_path: Path, pipeline: Command) -> None:
    motion = tmp_path / "mine.toml"
    motion.write_text((ROOT / "flowsim/presets/davis.toml").read_text().replace('name = "davis"', 'name = "mine"', 1))
    make_duts(3)
    settings = (*SETTINGS, "--motion", motion)
    assert pipeline("run", "--input", tmp_path / "DUTS", "--output", tmp_path / "x.zarr", *settings).returncode == 0
    pipeline("recipe", tmp_path / "x.zarr", tmp_path / "x.json")
    motion.unlink()
    status, said = follow(pipeline, tmp_path)
    assert (status, "equal to the bit" in said) == (0, True), said


def test_a_stopped_run_goes_on_by_the_same_command(made: Path, pipeline: Command) -> None:
    follow(pipeline, made)
    (made / "y.zarr/.fakeflow/commits/000001.json").unlink()
    status, said = follow(pipeline, made)
    assert (status, "2 in this run" in said, "equal to the bit" in said) == (0, True, True), said


def test_a_failed_photo_of_the_first_dataset_fails_again_whatever_lies_there(
    make_duts: MakeDuts, tmp_path: Path, pipeline: Command
) -> None:
    photo = make_duts() / "DUTS-TR/DUTS-TR-Image/scene_001.png"
    whole = photo.read_bytes()
    photo.write_bytes(whole[:300])
    pipeline("run", "--input", tmp_path / "DUTS", "--output", tmp_path / "x.zarr", *SETTINGS)
    pipeline("recipe", tmp_path / "x.zarr", tmp_path / "x.json")
    photo.write_bytes(whole)
    status, said = follow(pipeline, tmp_path, "--max-failures", 1)
    assert (status, "equal to the bit" in said) == (0, True), said
    assert arrays_of(tmp_path / "x.zarr") == arrays_of(tmp_path / "y.zarr")


def test_changed_missing_and_further_photos_are_named_and_repaired_by_retrying(made: Path, pipeline: Command) -> None:
    images = made / "DUTS/DUTS-TR/DUTS-TR-Image"
    whole = (images / "scene_001.png").read_bytes()
    changed = bytearray(whole)
    changed[-1] ^= 1  # in the checksum of the last chunk, so that the picture still decodes
    (images / "scene_001.png").write_bytes(changed)
    (images / "scene_003.png").rename(made / "away.png")
    masks = made / "DUTS/DUTS-TR/DUTS-TR-Mask"
    (masks / "scene_004.png").rename(made / "mask.png")
    write_png(images / "further.png", draw_scene(9)[0])
    status, said = follow(pipeline, made)
    assert status == 4
    assert "different: 3 of 5 samples" in said
    assert re.search(r"scene_001: failed: .*the photo has other bytes than the recipe names", said)
    for role, folder, sample_id in (("photo", images, "scene_003"), ("mask", masks, "scene_004")):
        where = f"failed: {images}/{sample_id}.*there is no {role} of this name in {folder}. Put the {role} there"
        assert re.search(f"  {sample_id}: {where}", said), said
    assert "1 photo of the input, not named by the recipe, left out: further" in said
    (images / "scene_001.png").write_bytes(whole)
    (made / "away.png").rename(images / "scene_003.png")
    (made / "mask.png").rename(masks / "scene_004.png")
    status, said = follow(pipeline, made, "--retry-failed")
    assert (status, "equal to the bit" in said) == (0, True), said
    assert arrays_of(made / "x.zarr") == arrays_of(made / "y.zarr")


def test_a_mask_that_changed_by_a_byte_is_found(made: Path, pipeline: Command) -> None:
    mask = made / "DUTS/DUTS-TR/DUTS-TR-Mask/scene_002.png"
    content = bytearray(mask.read_bytes())
    content[-1] ^= 1
    mask.write_bytes(content)
    status, said = follow(pipeline, made)
    assert status == 4
    assert re.search(r"scene_002: failed: .*the mask has other bytes", said)


def test_an_input_without_any_photo_of_the_recipe_is_refused_before_anything_is_made(
    made: Path, pipeline: Command
) -> None:
    other = draw_duts(made / "other", 1)
    (other / "DUTS-TR/DUTS-TR-Image/scene_000.png").rename(other / "DUTS-TR/DUTS-TR-Image/foreign.png")
    status, said = follow(pipeline, made, photos="other")
    assert status == 1
    assert "holds none of the 5 photos that the recipe names, such as scene_000" in said
    assert not (made / "y.zarr").exists()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--seed", 1), "--seed cannot be given with --recipe"),
        (("--depth-model", "tiny-dpt", "--frames", 2), "--depth-model, --frames cannot be given with --recipe"),
        (("--config", "run.toml"), "--config cannot be given with --recipe"),
    ],
)
def test_other_settings_beside_a_recipe_are_refused(
    made: Path, pipeline: Command, more: tuple[object, ...], sentence: str
) -> None:
    status, said = follow(pipeline, made, *more)
    assert (status, sentence in said) == (1, True), said
    assert not (made / "y.zarr").exists()


def test_a_recipe_without_output_and_a_recipe_that_is_not_there(made: Path, pipeline: Command) -> None:
    done = pipeline("run", "--recipe", made / "x.json", "--input", made / "DUTS")
    assert (done.returncode, "No output given" in done.said) == (1, True)
    done = pipeline("run", "--recipe", made / "none.json", "--input", made / "DUTS", "--output", made / "y.zarr")
    assert "there is no recipe here. Write one with `pipeline recipe" in done.said


def test_a_recipe_replaces_a_recipe_and_no_other_file(made: Path, pipeline: Command) -> None:
    assert pipeline("recipe", made / "x.zarr", made / "x.json").returncode == 0
    for other in (made / "notes.txt", made / "x.zarr/zarr.json"):
        other.touch()
        before = other.read_bytes()
        done = pipeline("recipe", made / "x.zarr", other)
        assert done.returncode == 1
        assert (
            f"{other} is a file that is no recipe, and would be lost; choose another name, or remove it." in done.said
        )
        assert other.read_bytes() == before


def test_a_recipe_is_read_from_a_url(made: Path) -> None:
    fsspec.filesystem("memory").pipe_file("/shared/x.json", (made / "x.json").read_bytes())
    assert read_recipe("memory://shared/x.json").ids == read_recipe(str(made / "x.json")).ids
    with pytest.raises(PipelineError, match="there is no recipe here"):
        read_recipe("memory://shared/none.json")


def test_a_changed_digit_an_unknown_version_and_other_files_are_no_recipes(made: Path) -> None:
    content = (made / "x.json").read_bytes()
    with pytest.raises(PipelineError, match="was changed after it was written: it differs from its own checksum"):
        parse_recipe(content.replace(b'"seed": 3', b'"seed": 4'), "x.json")
    later = content.replace(b"fakeflow recipe 1", b"fakeflow recipe 2")
    by_later = re.sub(rb'"written_by": "[^"]*"', b'"written_by": "fakeflow 9.1"', later)
    with pytest.raises(PipelineError, match=r"recipe of version 2, written by 'fakeflow 9.1'; .* reads version 1"):
        parse_recipe(by_later, "x.json")
    for kind in ("2", "0", "01", "1.0", "-1", "1 ", "\uff11", "\u0661", "9" * 5000, ""):
        changed = content.replace(b"fakeflow recipe 1", f"fakeflow recipe {kind}".encode())
        with pytest.raises(PipelineError, match=r"was changed after it was written: its format is .*; exp") as said:
            parse_recipe(changed, "x.json")
        assert str(said.value).isascii()
        assert len(str(said.value)) < 300
    for damaged in (content[:500], content.replace(b",", b";", 1)):
        with pytest.raises(PipelineError, match=r"x\.json is an incomplete or damaged recipe; get it again\."):
            parse_recipe(damaged, "x.json")
    for other in (b"", b"[]", b"{}", b"\xff\xd8", b'{"format": "fakeflow manifest 1"}'):
        with pytest.raises(PipelineError, match="is no recipe"):
            parse_recipe(other, "x.json")


def sealed_with(content: bytes, field: str, value: object) -> bytes:
    """Return a recipe with another value of a field, such as `settings.seed`, fingerprint and checksum made anew."""
    stored = json.loads(content)
    del stored[FIELD]
    *tables, name = field.split(".")
    place = stored[tables[0]] if tables else stored
    if value is GONE:
        del place[name]
    else:
        place[name] = value
    if name == "motion_prior" and isinstance(value, dict):
        stored[name] = pack_text(json.dumps(value))
    if tables == ["settings"] or (name == "motion_prior" and isinstance(value, dict)):
        prior = json.loads(unpack_text("motion_prior", stored["motion_prior"], 2**20))
        stored["fingerprint"] = fingerprint({**stored["settings"], "motion_prior": prior})
    return sealed_json(stored)


GONE = object()
"""Stands for a field that is not there."""


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        (
            "fingerprint",
            "0" * 64,
            "fingerprint is '0000.*; expected [0-9a-f]{64}, which settings and ",
        ),
        ("photos", 4, "layout.samples is 5; expected 4, as photos says"),
        ("photos", -3, "photos is -3; expected a whole number from 1 to "),
        ("photos", 10**30, "photos is 1000000.*; expected a whole number from 1 to "),
        ("photos", GONE, "it has no field 'photos'"),
        ("photo", "0" * 10, "photo holds 8 bytes; expected 100, 20 for each of 5"),
        ("flow", "é", "flow is no Base85"),
        ("ids", pack_text("b\na\nc\nd\ne"), "ids holds 'a' in a wrong place; expected names that rise"),
        ("ids", pack_text("a\nb\nc\nd\n\x1be"), r"ids holds '.*x1be'; expected names that can be printed"),
        ("ids", pack_text("a" * 10**6), "ids is cut, or longer than 5120 bytes"),
        ("ids", pack_text("a\nb"), "ids holds 2 names; expected 5, as photos says"),
        ("motion_prior", pack_text("[]"), r"motion_prior is \[\]; expected a table"),
        ("motion_prior", pack_text("{"), "motion_prior is no JSON"),
        ("motion_prior", "00000", "motion_prior cannot be decompressed"),
        ("shards", "", "shards holds 0 bytes; expected 96, 32 for each of 3"),
        ("failures", "7:truncated", "failures is '7:truncated'; expected ROW:REASON with a row from 0 to 4"),
        ("failures", "-1:x", "failures is '-1:x'; expected ROW:REASON"),
        ("settings", [1], "settings is .*; expected a table"),
        ("layout", {"samples": 5}, "it has no field 'motion_parameters'"),
        ("layout.side", -1, "layout.side is -1; expected a whole number from 1 to "),
        ("layout.samples_per_shard", 0, "layout.samples_per_shard is 0; expected a whole number"),
        ("layout.depth", 1, "layout holds 'depth'; expected only "),
        ("precision", {"float32": "x"}, "precision.float32 is 'x'; expected a whole number"),
    ],
)
def test_a_recipe_that_was_edited_and_sealed_again_names_the_field(
    made: Path, field: str, value: object, why: str
) -> None:
    content = sealed_with((made / "x.json").read_bytes(), field, value)
    sentence = rf"x.json is not what `pipeline recipe` writes: {why}.*\. Get the file again from where"
    with pytest.raises(PipelineError, match=sentence):
        parse_recipe(content, "x.json")


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("settings.max_side", -5, "--max-side is -5; expected at least 32. The file was changed"),
        ("settings.frames", 99, "--frames is 99; expected 1 to 16. The file was changed .* Get the file again"),
        ("settings.seed", "x", "seed = 'x' has the wrong type; expected int. The file was changed"),
        (
            "settings.max_side",
            64,
            "layout.side: 96 -> 64. The file was changed",
        ),
        ("layout.side", 64, "layout.side: 64 -> 96"),
        ("settings.depth", {}, "a setting is missing; expected listing_hash and depth with model, "),
        (
            "motion_prior",
            {"name": "x", "shots": [3]},
            "model cannot be used: MotionPrior.shots is .3., expected",
        ),
        ("settings.listing_hash", GONE, "a setting is missing; expected listing_hash and depth"),
    ],
)
def test_settings_out_of_range_in_a_recipe_are_named(
    made: Path, pipeline: Command, field: str, value: object, why: str
) -> None:
    changed = sealed_with((made / "x.json").read_bytes(), field, value)
    (made / "x.json").write_bytes(changed)
    status, said = follow(pipeline, made)
    assert status == 1
    assert re.search(rf"error: the recipe .*/x\.json.*{why}", said), said
    assert not (made / "y.zarr").exists()
    (made / "x.json").write_bytes(sealed_with(changed, "software.fakeflow", "9.1"))
    assert "Install the version that made the dataset, fakeflow 9.1." in follow(pipeline, made)[1]


def test_a_compressed_text_cannot_fill_the_memory() -> None:
    with pytest.raises(ValueError, match="longer than 1000 bytes"):
        unpack_text("ids", pack_text("0" * 10**7), 1000)
    assert len(zlib.compress(b"0" * 10**7, 9)) < 20_000


def test_another_depth_model_under_the_same_name_is_refused(
    make_duts: MakeDuts, tmp_path: Path, pipeline: Command
) -> None:
    model = tmp_path / "model"
    shutil.copytree(EMBEDDED_FOLDER, model)
    settings = ("--depth-model", model, *SETTINGS[2:])
    pipeline("run", "--input", make_duts(3), "--output", tmp_path / "x.zarr", *settings)
    pipeline("recipe", tmp_path / "x.zarr", tmp_path / "x.json")
    weights = bytearray((model / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (model / "model.safetensors").write_bytes(weights)
    status, said = follow(pipeline, tmp_path)
    assert status == 1
    assert re.search(r"The depth model .*model on this machine is not the one of the recipe .*sha256: ", said)
    assert not (tmp_path / "y.zarr").exists()


def test_settings_of_a_later_version_are_named(made: Path, pipeline: Command) -> None:
    recipe = read_recipe(str(made / "x.json"))
    later = Recipe(**{**vars(recipe), "settings": {**recipe.settings, "gravity": 1}})
    (made / "x.json").write_bytes(later.to_json())
    status, said = follow(pipeline, made)
    assert (status, "unknown setting 'gravity'" in said) == (1, True), said


def test_datasets_that_have_no_recipe_say_why(tmp_path: Path, pipeline: Command) -> None:
    make_dataset(str(tmp_path / "part.zarr"), without_shard=1)
    done = pipeline("recipe", tmp_path / "part.zarr", tmp_path / "x.json")
    assert "is incomplete: 1 of 3 shards are not made" in done.said
    make_dataset(str(tmp_path / "old.zarr"))  # records no originals, like earlier versions
    done = pipeline("recipe", tmp_path / "old.zarr", tmp_path / "x.json")
    assert "made by an earlier version of fakeflow, which did not record the checksums" in done.said
    assert not (tmp_path / "x.json").exists()


def test_a_recipe_takes_less_than_100_bytes_per_photo_and_can_be_read_by_people(tmp_path: Path) -> None:
    photos, random = 1000, np.random.default_rng(0)
    ids = tuple(sorted(f"ILSVRC2012_test_{number:08d}" for number in random.choice(10**5, photos, replace=False)))
    columns = {name: random.integers(0, 256, (photos, width), np.uint8) for name, width in WIDTHS.items()}
    settings = {"photos": photos, "seed": 0, "motion": "davis", "motion_prior": MotionPrior.preset("davis").to_dict()}
    layout = Layout(photos, 1, 400, MotionSample.names, 64)
    shards = random.integers(0, 256, (layout.shard_count, 32), np.uint8)
    software = {"fakeflow": "1.0.0"}
    recipe = Recipe(
        settings,
        "DUTS",
        "unknown",
        layout,
        software,
        {"float32": 16},
        ids,
        {3: "truncated"},
        PhotoColumns(**columns),
        shards,
    )
    content = recipe.to_json()
    assert len(content) < 100 * photos
    shown = json.loads(content)
    assert (shown["photos"], shown["failed"], shown["settings"]["seed"]) == (photos, 1, 0)
    again = parse_recipe(content, "x.json")
    assert (again.ids, again.failures, again.settings, again.layout) == (ids, {3: "truncated"}, settings, layout)
    assert all((getattr(again.columns, name) == columns[name]).all() for name in WIDTHS)
    assert (again.shards == shards).all()
    assert UNSEALED not in content.decode()


def test_the_digests_of_a_recipe_are_those_that_sha256sum_prints(made: Path) -> None:
    import hashlib

    recipe = read_recipe(str(made / "x.json"))
    for number, sample_id in enumerate(recipe.ids):
        for role, folder in (("photo", "Image"), ("mask", "Mask")):
            file = made / f"DUTS/DUTS-TR/DUTS-TR-{folder}/{sample_id}.png"
            digest = getattr(recipe.columns, role)[number].tobytes().hex()
            assert hashlib.sha256(file.read_bytes()).hexdigest().startswith(digest)
    assert recipe.software["numpy"] == np.__version__
    assert recipe.precision == {"float32": 3}
    assert DatasetStore.open(str(made / "x.zarr")).attributes["settings"] == recipe.settings
