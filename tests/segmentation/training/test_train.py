"""Training: what a run leaves behind, that it learns, what it starts from, and errors in its course."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from segmentation.commands import app
from segmentation.errors import SegmentationError, TrainingError
from segmentation.network.checkpoint import load_network
from segmentation.network.sizes import SIZES
from segmentation.training.data_split import open_data
from segmentation.training.run import train
from segmentation.training.validation import score_samples, summarize
from tests.segmentation.training_runs import (
    Watcher,
    command,
    make_videos,
    records,
    settings_in,
    train_in,
)
from tests.segmentation.trees import SIZE
from tests.segmentation.video_flows import FRAMES, save_flow_pictures
from tests.segmentation.zarr_datasets import make_dataset


def test_a_run_leaves_networks_numbers_and_pictures(tmp_path: Path) -> None:
    videos = make_videos(tmp_path)
    settings = replace(settings_in(tmp_path), videos=(videos,), samples_per_epoch=8)
    watcher = Watcher()
    summary = train(settings, watcher)
    run = tmp_path / "run"
    network = load_network(summary.best_network, expected_encoder="mit-b0")
    assert (network.side_px, summary.measure) == (32, "J&F")
    kinds = [(one["kind"], one["epoch"], one["step"]) for one in records(run)]
    assert kinds == [("train", 1, 4), ("validation", 1, 4), ("train", 2, 8), ("validation", 2, 8)]
    assert all(0 < one["loss"] < 5 and 0 <= one["iou"] <= 1 for one in records(run) if one["kind"] == "train")
    judged = records(run)[1]
    assert set(judged["sequences"]) < {"bear", "libby"}  # one of the two is held out
    assert judged["J&F"] == pytest.approx((judged["J"] + judged["F"]) / 2)
    assert watcher.counted[-1] == (16, 16)
    assert "loss" in watcher.notes[-1]
    assert any(one.stat().st_size > 200 for one in (run / "tensorboard").iterdir())
    for picture in summary.pictures:
        assert cv2.imread(str(picture)).std() > 10
    assert not list(run.rglob("*.partial"))


@pytest.mark.slow
@pytest.mark.ci
def test_a_network_learns_what_it_sees(tmp_path: Path) -> None:
    """Bright discs are found after 120 steps: chance and all-foreground lie below an IoU of 0.25."""
    make_dataset(tmp_path / "photos.zarr", samples=12)
    budget = {"epochs": 30, "samples_per_epoch": 16, "batch_size": 4, "learning_rate": 1e-3, "validate_every": 10}
    summary = train_in(tmp_path, data=(str(tmp_path / "photos.zarr"),), **budget)
    assert summary.best_score > 0.5
    losses = [one["loss"] for one in records(tmp_path / "run") if one["kind"] == "train"]
    assert losses[-1] < losses[0] / 2


def test_the_log_holds_the_mean_loss_of_its_steps(tmp_path: Path) -> None:
    train_in(tmp_path, epochs=1, samples_per_epoch=16, learning_rate=1e-12)
    (loss,) = (one["loss"] for one in records(tmp_path / "run") if one["kind"] == "train")
    assert 0.4 < loss < 1.4  # each of the eight losses is near log 2


def test_averaged_weights_are_judged_and_kept(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, samples_per_epoch=16, epochs=1, learning_rate=3e-4)
    summary = train(settings, Watcher())
    state = torch.load(tmp_path / "run/last/training.pt", weights_only=True)
    _, validation = open_data(settings)
    scores = {}
    for name in ("network", "average"):
        network = load_network(summary.last_network)
        network.load_state_dict(state[name])
        found = list(score_samples(network, validation.read(), with_boundaries=False, device="cpu"))
        scores[name] = summarize(found, with_boundaries=False).value
    assert scores["network"] != scores["average"]
    assert summary.best_score == pytest.approx(scores["average"], abs=1e-9)
    for folder in ("last", "best"):
        kept = load_network(tmp_path / "run" / folder).state_dict()
        assert all(torch.equal(kept[name], values) for name, values in state["average"].items())


def test_the_first_of_equal_networks_is_the_best(tmp_path: Path) -> None:
    summary = train_in(tmp_path, epochs=3, samples_per_epoch=2, learning_rate=1e-12)
    judged = [one for one in records(tmp_path / "run") if one["kind"] == "validation"]
    assert len({one["IoU"] for one in judged}) == 1
    assert [one["is_best"] for one in judged] == [True, False, False]
    assert summary.best_epoch == 1


def test_a_run_starts_from_a_network(tmp_path: Path) -> None:
    train_in(tmp_path, epochs=1)
    first = tmp_path / "run/last"
    train_in(tmp_path, output=str(tmp_path / "two"), epochs=1, initialization=str(first), learning_rate=1e-12)
    before, after = (load_file(folder / "model.safetensors") for folder in (first, tmp_path / "two/best"))
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)
    with pytest.raises(SegmentationError, match=r"is a checkpoint of encoder mit-b0, expected mit-b1"):
        train_in(tmp_path, output=str(tmp_path / "three"), encoder="mit-b1", initialization=str(first))
    weights = first / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(SegmentationError, match=r"model.safetensors cannot be read, it is truncated"):
        train_in(tmp_path, output=str(tmp_path / "three"), initialization=str(first))
    assert not (tmp_path / "three").exists()


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, output=str(tmp_path / "high"), learning_rate=1e30, preset="paper-stage2")
    with pytest.raises(
        TrainingError,
        match=r"the loss is (nan|inf) in epoch 1, step [23] \(samples scene .*there is no checkpoint yet. Lower",
    ):
        train(settings, Watcher())
    assert not (tmp_path / "high/last").exists()


def test_weights_that_are_no_numbers_are_not_kept(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"weights are not finite after step 1; there is no checkpoint yet"):
        train_in(tmp_path, learning_rate=1e39, preset="paper-stage2", samples_per_epoch=2, validate_every=1)
    assert not (tmp_path / "run/best").exists()


def test_too_little_memory_is_said(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"too little memory for 2 samples of 10000000 px.*lower --batch-size"):
        train_in(tmp_path, side_px=10_000_000)


def test_a_missing_compiler_is_said(tmp_path: Path) -> None:
    from torch._inductor import config

    with (
        config.patch({"cpp.cxx": (None, "/no/compiler"), "force_disable_caches": True}),
        pytest.raises(
            TrainingError, match=r"--compile does not work here \(.*compiler.*\); train without it, or install"
        ),
    ):
        train_in(tmp_path, compile=True, epochs=1)


@pytest.mark.parametrize(("preset", "says_so"), [("modern", True), ("paper-stage2", False)])
def test_a_run_says_what_mirrored_flow_pictures_lose(tmp_path: Path, preset: Any, says_so: bool) -> None:
    videos = make_videos(tmp_path)
    for video in ("bear", "libby"):
        save_flow_pictures(tmp_path / f"DAVIS/JPEGFlows/480p/{video}", FRAMES, SIZE)
    pictures = videos.replace(str(tmp_path / "flows.zarr"), str(tmp_path / "DAVIS"))
    watcher = Watcher()
    train(settings_in(tmp_path, videos=(pictures,), preset=preset, epochs=1, samples_per_epoch=2), watcher)
    assert any("flow pictures are coloured anew" in sentence for sentence in watcher.said) == says_so


def test_the_published_selection_counts_the_frames_of_the_protocol(tmp_path: Path) -> None:
    videos = make_videos(tmp_path)
    summary = train_in(tmp_path, videos=(videos,), select="davis16-val", epochs=1)
    judged = records(tmp_path / "run")[-1]
    assert (summary.measure, list(judged["sequences"])) == ("J&F", ["libby"])
    assert judged["samples"] == "davis16-val"


def test_the_command_trains_with_fresh_motion(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, epochs=1)
    done = CliRunner().invoke(app, [*command(settings, tmp_path / "run")[3:], "--fresh-motion"])
    assert done.exit_code == 0, done.output
    assert "after epoch 1, the best" in done.output
    assert json.loads((tmp_path / "run/settings.json").read_text())["flow"] == "fresh"


def test_the_next_command_runs_as_printed(tmp_path: Path) -> None:
    folder = tmp_path / "my data"
    folder.mkdir()
    arguments = command(settings_in(folder, epochs=1), folder / "run")[3:]
    done = CliRunner().invoke(app, [*arguments, "--videos", make_videos(folder)])
    assert done.exit_code == 0, done.output
    (suggested,) = [line.removeprefix("Try it:") for line in done.output.splitlines() if line.startswith("Try it:")]
    program, *arguments = shlex.split(suggested)
    assert program == "segmentation"
    assert arguments[:3] == ["evaluate", "--checkpoint", str(folder / "run")]
    done = CliRunner().invoke(app, [*arguments, "--workers", "0"])
    assert done.exit_code == 0, done.output
    assert sorted(path.stem for path in (folder / "run/results/davis16/libby").iterdir()) == FRAMES


def test_a_small_network_is_trained_and_continued(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, size="small", encoder=None, epochs=1)
    assert settings.network_size == SIZES["small"]
    assert replace(settings, encoder="lite1").network_size == replace(SIZES["small"], encoder="lite1")
    best = train(settings, Watcher()).best_network
    network = load_network(best)
    assert (network.encoder_name, network.decoder_width) == ("lite0", 64)
    with pytest.raises(SegmentationError, match=r"with 64 channels in the decoder, expected 256"):
        train_in(tmp_path, output=str(tmp_path / "wide"), encoder="lite0", initialization=str(best))
