"""The data and checkpoints of the published code go through import, train, evaluate and score as they are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from pipeline.commands import app as pipeline
from segmentation.commands import app as segmentation
from tests.conftest import draw_scene
from tests.segmentation.released_checkpoints import save_stand_in
from tests.segmentation.trees import SIZE, palette, photo, save, square
from tests.segmentation.video_flows import save_flow_pictures

SMALL = ("--encoder", "mit-b0", "--side-px", 32, "--batch-size", 2, "--samples-per-epoch", 4, "--epochs", 1)


def run(app: Any, *arguments: object) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, (arguments, done.output, done.exception)
    return done.output


def draw_video(root: Path, video: str, frames: list[str], annotated: list[str] | None = None) -> None:
    """Draw frames, flow pictures and masks with the object numbers 0, 1, 2, as the published code reads them."""
    for name in frames:
        photo(root / f"JPEGImages/{video}/{name}.jpg")
    save_flow_pictures(root / f"JPEGFlows/{video}", frames, SIZE)
    for k, name in enumerate(frames if annotated is None else annotated):
        labels = square(k) * 1 + square(k, 4) * 1
        save(root / f"Annotations/{video}/{name}.png", palette(labels))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with miniatures of all the trees of the published code."""
    root = tmp_path_factory.mktemp("original")
    frames = [f"{k:05d}" for k in range(5)]
    names = [f"photo{k}" for k in range(6)]
    for k, name in enumerate(names):
        image, mask = draw_scene(k, *SIZE)
        save(root / f"DUTSv2/JPEGImages/{name}.jpg", image)
        save(root / f"DUTSv2/Annotations/{name}.png", mask)
    save_flow_pictures(root / "DUTSv2/JPEGFlows", names, SIZE)
    for video in ("480p/bear", "480p/libby"):
        draw_video(root / "DAVIS", video, frames)
    for split, video in (("train", "bear"), ("val", "libby")):
        (root / "DAVIS/ImageSets/2016").mkdir(parents=True, exist_ok=True)
        (root / f"DAVIS/ImageSets/2016/{split}.txt").write_text(f"{video}\n")
    for video in ("camel01", "cars1"):
        draw_video(root / "FBMS/TestSet", video, frames, frames[::2])
    for video in ("aeroplane/0001", "cat/0002"):
        draw_video(root / "YTOBJ", video, frames, frames[::2])
    draw_video(root / "LVID", "blueboy", frames, frames[::2])
    for video in ("003234408d", "0043f083b5", "00f88c4f0a"):
        draw_video(root / "YTVOS18/train", video, frames)
    return root


@pytest.fixture(scope="module")
def stage_1(data: Path) -> Path:
    """Train on YouTube-VOS, as published."""
    folder = data / "runs/stage 1"
    start = ("--preset", "paper-stage1", "--initialization", "random", "--output", folder)
    run(segmentation, "train", *start, "--videos", f"ytvos18={data / 'YTVOS18'}:{data / 'YTVOS18'}", *SMALL)
    return folder


@pytest.fixture(scope="module")
def stage_2(data: Path, stage_1: Path) -> Path:
    """Go on from there with photos and DAVIS, as published, and choose on the test set, as published."""
    photos, folder = data / "dutsv2.zarr", data / "runs/stage 2"
    run(pipeline, "import", data / "DUTSv2", photos, "--max-side", 64)
    start = ("--preset", "paper-stage2", "--initialization", stage_1 / "last", "--select", "davis16-val")
    printed = run(
        segmentation,
        "train",
        *start,
        "--output",
        folder,
        "--data",
        photos,
        "--videos",
        benchmark(data, "davis16"),
        *SMALL,
    )
    assert "after epoch 1, the best" in printed
    return folder


def benchmark(data: Path, name: str) -> str:
    root = data / {"davis16": "DAVIS", "fbms": "FBMS/TestSet", "ytobj": "YTOBJ", "lvid": "LVID"}[name]
    return f"{name}={root}:{root}"


def evaluate(data: Path, checkpoint: Path, output: Path, *names: str) -> dict[str, Any]:
    datasets = [part for name in names for part in ("--dataset", benchmark(data, name))]
    options = ("--checkpoint", checkpoint, "--output", output, "--workers", 0, "--side-px", 32)
    run(segmentation, "evaluate", *options, *datasets)
    scores: dict[str, Any] = json.loads((output / "scores.json").read_text())["datasets"]
    return scores


def test_both_stages_are_trained_as_published(stage_1: Path, stage_2: Path) -> None:
    first, second = (json.loads((run / "settings.json").read_text()) for run in (stage_1, stage_2))
    assert first["recipe"]["with_replacement"]
    assert second["initialization"] == str(stage_1 / "last")
    judged = [json.loads(line) for line in (stage_2 / "metrics.jsonl").read_text().splitlines()][-1]
    assert list(judged["sequences"]) == ["libby"]


def test_the_run_is_evaluated_on_every_benchmark_and_its_masks_are_scored(data: Path, stage_2: Path) -> None:
    names = ("davis16", "fbms", "ytobj", "lvid")
    scores = evaluate(data, stage_2, data / "results", *names)
    frames = {name: sum(one["frames"] for one in scores[name]["sequences"].values()) for name in names}
    assert frames == {"davis16": 3, "fbms": 6, "ytobj": 6, "lvid": 3}
    for name in names:
        root = benchmark(data, name).partition("=")[2].partition(":")[0]
        again = data / f"{name}.json"
        masks = data / "results" / name
        run(segmentation, "score", "--dataset", name, "--root", root, "--predictions", masks, "--json", again)
        assert json.loads(again.read_text()) == scores[name]


def test_a_released_checkpoint_is_evaluated(data: Path, tmp_path: Path) -> None:
    checkpoint = save_stand_in(tmp_path / "DepthFlow_mitb0.pth", "fakeflow_mitb0")
    scores = evaluate(data, checkpoint, tmp_path / "results", "davis16", "fbms")
    assert list(scores["davis16"]["sequences"]) == ["libby"]
    assert list(scores["fbms"]["sequences"]) == ["camel01", "cars1"]


@pytest.mark.parametrize("kind", ["0/255", "object numbers"])
def test_masks_that_others_have_published_are_scored(kind: str, data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "DAVIS/Annotations/480p/libby", tmp_path / "masks/libby")
    for path in (tmp_path / "masks/libby").iterdir():
        is_object = np.array(Image.open(path)) > 0
        save(path, palette(is_object) if kind == "object numbers" else is_object.astype(np.uint8) * np.uint8(255))
    arguments = ("--dataset", "davis16", "--root", data / "DAVIS", "--predictions", tmp_path / "masks")
    run(segmentation, "score", *arguments, "--json", tmp_path / "scores.json")
    mean = json.loads((tmp_path / "scores.json").read_text())["mean"]
    assert mean["J&F"] == pytest.approx(1)
