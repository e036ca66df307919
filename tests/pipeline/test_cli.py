"""The smaller commands: status, preview, depth, and what `run` accepts."""

from __future__ import annotations

import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from pipeline.commands import app
from pipeline.errors import PipelineError
from pipeline.making.config import RunConfig, load_config
from tests.conftest import MakeDuts, draw_scene, write_png

SMALL = ["--workers", "0", "--depth-model", "tiny-dpt", "--max-side", "96"]


def invoke(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments)
    if done.exception:
        raise done.exception
    return done.output


def test_the_suggested_command_is_quoted_for_the_shell(make_duts: MakeDuts, tmp_path: Path) -> None:
    output = str(tmp_path / "my data/c2.zarr")
    printed = invoke("run", "--input", str(make_duts(1)), "--output", output, *SMALL)
    (suggested,) = [line for line in printed.splitlines() if line.startswith("Look at it:")]
    assert shlex.split(suggested.removeprefix("Look at it:"))[:3] == ["pipeline", "preview", output]
    with pytest.raises(PipelineError, match=r"run --input ... --output '.*/my other/x.zarr'`"):
        invoke("status", str(tmp_path / "my other/x.zarr"))


@pytest.fixture
def dataset(make_duts: MakeDuts, tmp_path: Path) -> str:
    output = str(tmp_path / "out.zarr")
    invoke("run", "--input", str(make_duts(3)), "--output", output, "--motions", "2", *SMALL)
    return output


def test_status_says_how_far_it_is(dataset: str) -> None:
    printed = invoke("status", dataset)
    assert "complete" in printed
    assert "3 of 3: 3 usable, 0 failed" in printed
    (Path(dataset) / ".fakeflow/commits/000000.json").unlink()
    assert "incomplete: run the same command again" in invoke("status", dataset)


def test_status_of_nothing_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"there is no dataset here. Make one with `pipeline run"):
        invoke("status", str(tmp_path / "absent.zarr"))


def test_preview_shows_photo_depth_flows_and_mask(dataset: str, tmp_path: Path) -> None:
    printed = invoke("preview", dataset, "--output", str(tmp_path / "sheet.png"), "--rows", "2")
    assert printed.strip() == str(tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as opened:
        sheet = np.asarray(opened)
    assert sheet.shape[1] > 5 * 220
    columns = np.array_split(sheet[60:], 5, axis=1)
    assert all(column.reshape(-1, 3).std(0).max() > 10 for column in columns)


def test_depth_of_one_photo(tmp_path: Path) -> None:
    photo, _ = draw_scene(4)
    write_png(tmp_path / "photo.png", photo)
    invoke("depth", "--input", str(tmp_path / "photo.png"), "--output", str(tmp_path / "depth.png"), *SMALL[2:4])
    depth = cv2.imread(str(tmp_path / "depth.png"), cv2.IMREAD_UNCHANGED)
    assert depth.dtype == np.uint16
    assert depth.shape == photo.shape[:2]
    assert (depth.min(), depth.max()) == (0, 65535)
    with Image.open(tmp_path / "depth-preview.png") as preview:
        assert preview.size == (2 * photo.shape[1], photo.shape[0])


def test_depth_of_no_photo(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no photo")
    with pytest.raises(PipelineError, match=r"text.jpg: "):
        invoke("depth", "--input", str(tmp_path / "text.jpg"), "--output", str(tmp_path / "depth.png"), *SMALL[2:4])


def test_settings_come_from_defaults_then_file_then_options(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text("output = 'a.zarr'\nseed = 3\nmax-side = 256\n")
    config = load_config({"seed": 5, "motions": None}, file)
    assert config == RunConfig(output="a.zarr", seed=5, max_side=256)


def test_an_output_is_needed() -> None:
    with pytest.raises(PipelineError, match="No output given"):
        load_config({}, None)


def test_help_names_every_setting_with_its_default() -> None:
    printed = " ".join(invoke("run", "--help").split()).replace("- ", "-")  # lines are broken at hyphens too
    for name in ("--input", "--depth-model", "--motions", "--retry-failed", "--max-failures", "--config"):
        assert name in printed
    assert "[default: Intel/dpt-hybrid-midas]" in printed


def test_a_picture_that_cannot_be_written_is_said_in_a_sentence(tmp_path: Path) -> None:
    write_png(tmp_path / "photo.png", draw_scene(1)[0])
    for output, message in (("nowhere/depth.png", "No such file or directory"), ("depth.tiff", "ends in .png")):
        with pytest.raises(PipelineError, match=message):
            invoke("depth", "--input", str(tmp_path / "photo.png"), "--output", str(tmp_path / output), *SMALL[2:4])
    with pytest.raises(PipelineError, match=r"gone.png: cannot be read \(No such file"):
        invoke("depth", "--input", str(tmp_path / "gone.png"), "--output", str(tmp_path / "depth.png"))


COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_of_a_help_page_are_commands_that_are_understood(name: str) -> None:
    examples = [line.strip() for line in invoke(name, "--help").partition("\nExamples:\n")[2].splitlines()]
    assert examples
    for example in examples:
        assert len(example) <= 78
        words = shlex.split(example)
        assert words[:2] == ["pipeline", name]
        COMMANDS[name].make_context(name, words[2:])  # refuses unknown options and missing arguments


@pytest.mark.parametrize("name", COMMANDS)
def test_a_help_text_is_a_phrase_that_needs_no_other_page(name: str) -> None:
    for parameter in COMMANDS[name].params:
        text = parameter.help.partition("  [")[0]
        assert text[0].isupper() or text.startswith("16-bit")
        assert text.endswith(".")
        assert "As for" not in text
