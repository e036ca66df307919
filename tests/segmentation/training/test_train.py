"""Training: what a run leaves behind, that it learns, stops, continues bit for bit, and what it refuses."""

from __future__ import annotations

import json
import os
import resource
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from benchmarks.processes import command_line, descendants
from pipeline.errors import PipelineError
from segmentation.cli import app
from segmentation.data.video_samples import VideoFrames
from segmentation.errors import DatasetError, SegmentationError, Stopped, TrainingError
from segmentation.flow.flow_origin import FlowOrigin, require_one_kind
from segmentation.network.checkpoint import load_network
from segmentation.training.data_split import open_data
from segmentation.training.folder import held_folder
from segmentation.training.run import train
from segmentation.training.settings import TrainingSettings
from segmentation.training.validation import score_samples, summarize
from tests.conftest import ROOT
from tests.segmentation.training_runs import FRAMES, Watcher, make_videos, settings_in, train_in
from tests.segmentation.trees import SIZE
from tests.segmentation.video_flows import save_flow_pictures, store_flow
from tests.segmentation.zarr_datasets import FAILED_ROW, make_dataset


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    """Small steps lose time in sharing them among threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def records(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in one.items() if "second" not in name} for one in lines]


def same_state(one: Path, other: Path) -> bool:
    """Compare everything that a run keeps, to the last bit."""
    first, second = (torch.load(run / "last/training.pt", weights_only=True) for run in (one, other))
    flat: list[list[Any]] = []
    for state in (first, second):
        moments = [v for entry in state["optimizer"]["state"].values() for v in entry.values()]
        flat.append([*state["network"].values(), *state["average"].values(), *moments])
    assert len(flat[0]) == len(flat[1]) > 100
    return first["position"] == second["position"] and all(map(torch.equal, *flat))


class StopAfter(Watcher):
    """Presses Ctrl-C when so many samples are done."""

    def __init__(self, samples: int) -> None:
        super().__init__()
        self.samples = samples

    def update(self, to_do: int, done: int, failed: int, note: str = "") -> None:
        super().update(to_do, done, failed, note)
        if done == self.samples:
            signal.raise_signal(signal.SIGINT)


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
    settings = settings_in(tmp_path, samples_per_epoch=16, epochs=1, learning_rate=1e-2)
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


@pytest.mark.parametrize(("preset", "epochs"), [("paper-stage1", 4000), ("paper-stage2", 2000)])
def test_the_published_stages_are_as_published(tmp_path: Path, preset: Any, epochs: int) -> None:
    settings = settings_in(tmp_path, preset=preset, epochs=None, batch_size=None, samples_per_epoch=None)
    recipe = settings.recipe
    assert (recipe.optimizer, recipe.learning_rate, recipe.schedule) == ("adam", 1e-5, "constant")
    assert (recipe.batch_size, recipe.samples_per_epoch, recipe.epochs) == (16, 512, epochs)
    assert (recipe.flips, recipe.smallest_crop, recipe.jitter, recipe.precision) == ("reference", 1.0, 0.0, "float32")
    assert settings.epochs_between_validations == 100
    assert open_data(settings)[0].with_replacement
    assert replace(settings, validate_every=3).epochs_between_validations == 3
    modern = settings_in(tmp_path, epochs=200)
    assert modern.epochs_between_validations == 4
    assert not open_data(modern)[0].with_replacement


def test_videos_are_opened_once(tmp_path: Path) -> None:
    mixture, validation = open_data(settings_in(tmp_path, videos=(make_videos(tmp_path),), samples_per_epoch=200))
    (learnt,) = mixture.sources
    assert isinstance(learnt, VideoFrames)
    ((name, judged, _),) = validation.sequences
    assert isinstance(judged, VideoFrames)
    assert {*learnt.sequences, name} == {"bear", "libby"}
    assert judged.sequences == (name,)
    assert judged._flows is learnt._flows


def test_photos_that_are_judged_by_are_never_drawn(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, preset="paper-stage2", samples_per_epoch=200)
    mixture, validation = open_data(settings)
    ((_, _, held_out),) = validation.sequences
    drawn = {int(number) for number in mixture._draw(0)[:, 2]}
    assert len(held_out) == 1
    assert drawn == set(range(10)) - {FAILED_ROW} - set(held_out)


def test_the_first_of_equal_networks_is_the_best(tmp_path: Path) -> None:
    summary = train_in(tmp_path, epochs=3, samples_per_epoch=2, learning_rate=1e-12)
    judged = [one for one in records(tmp_path / "run") if one["kind"] == "validation"]
    assert len({one["IoU"] for one in judged}) == 1
    assert [one["is_best"] for one in judged] == [True, False, False]
    assert summary.best_epoch == 1


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_stopped_run_continues_bit_for_bit(tmp_path: Path, device: Literal["cpu", "cuda"]) -> None:
    settings = settings_in(tmp_path, output=str(tmp_path / "whole"), device=device)
    train(settings, Watcher())
    stopped = replace(settings, output=str(tmp_path / "stopped"))
    for step, position in ((1, 2), (5, 5)):  # within an epoch; within the validation after the last step
        with pytest.raises(Stopped):
            train(replace(stopped, resume=step > 1), StopAfter(2 * step))
        state = torch.load(tmp_path / "stopped/last/training.pt", weights_only=True)
        assert state["position"]["step"] >= position
    train(replace(stopped, resume=True), Watcher())
    assert same_state(tmp_path / "whole", tmp_path / "stopped")
    whole, parts = records(tmp_path / "whole"), records(tmp_path / "stopped")
    assert [one for one in whole if one["kind"] == "validation"] == [
        one for one in parts if one["kind"] == "validation"
    ]
    best = [load_file(tmp_path / run / "best/model.safetensors") for run in ("whole", "stopped")]
    assert all(torch.equal(best[0][name], best[1][name]) for name in best[0])


def test_a_killed_run_continues_bit_for_bit(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, output=str(tmp_path / "whole"), epochs=3)
    train(settings, Watcher())
    killed = tmp_path / "killed"
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # as here: the number of threads decides the last bits
    process = subprocess.Popen(command(settings, killed), cwd=ROOT, env=one_thread, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (killed / "last/training.pt").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    with (killed / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "train", "st')  # as a kill within a line leaves it
    (killed / "last/training.pt.0.partial").write_bytes(b"cut off")
    train(replace(settings, output=str(killed), resume=True), Watcher())
    assert same_state(tmp_path / "whole", killed)
    assert [one for one in records(killed) if one["kind"] == "validation"] == [
        one for one in records(tmp_path / "whole") if one["kind"] == "validation"
    ]
    assert not list(killed.rglob("*.partial"))


def command(settings: TrainingSettings, output: Path) -> list[str]:
    options = {
        "--encoder": settings.encoder,
        "--initialization": settings.initialization,
        "--side-px": settings.side_px,
        "--batch-size": settings.batch_size,
        "--samples-per-epoch": settings.samples_per_epoch,
        "--epochs": settings.epochs,
        "--data": settings.data[0],
        "--output": output,
    }
    return [sys.executable, "-m", "segmentation.cli", "train", *(str(w) for pair in options.items() for w in pair)]


def test_ctrl_c_saves_and_exits_with_130(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, epochs=10_000)
    run = tmp_path / "run"
    process = subprocess.Popen(command(settings, run), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (run / "metrics.jsonl").exists() or not (run / "metrics.jsonl").read_text():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "with --resume continues" in said
    assert "Traceback" not in said
    assert torch.load(run / "last/training.pt", weights_only=True)["position"]["step"] >= 3


def test_another_run_in_the_folder_is_refused(tmp_path: Path) -> None:
    train_in(tmp_path, epochs=1)
    with pytest.raises(TrainingError, match=r"run holds a run already; continue it with --resume"):
        train_in(tmp_path, epochs=1)
    with pytest.raises(TrainingError, match=r"other settings \(recipe.batch_size: 2 -> 3; seed: 0 -> 1\); resume with"):
        train_in(tmp_path, epochs=1, batch_size=3, seed=1, resume=True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.tex").write_text("")
    with pytest.raises(TrainingError, match=r"full is not empty and holds no run \(found thesis.tex\)"):
        train_in(tmp_path, output=str(tmp_path / "full"))
    path = tmp_path / "run/last/training.pt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(TrainingError, match=r"training.pt is truncated, damaged.*--initialization .*best"):
        train_in(tmp_path, epochs=1, resume=True)


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


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, epochs=1)
    train(settings, Watcher())
    content = json.loads((tmp_path / "run/settings.json").read_text())
    with (
        held_folder(tmp_path / "run", content, resume=True),
        pytest.raises(PipelineError, match=r"Another run is writing .*run. Wait for it, or choose another place"),
    ):
        train(replace(settings, resume=True), Watcher())


@pytest.mark.parametrize("damage", [None, b"\xff\xfe\x00", b'5\n{"kind": "train"}\n'])
def test_a_lost_or_foreign_log_does_not_stop_a_run(tmp_path: Path, damage: bytes | None) -> None:
    before = train_in(tmp_path, epochs=1)
    log = tmp_path / "run/metrics.jsonl"
    log.unlink()
    if damage is not None:
        log.write_bytes(damage)
    after = train_in(tmp_path, epochs=1, resume=True)
    assert (after.best_score, after.best_epoch) == (before.best_score, 1)


@pytest.mark.parametrize(("room", "file"), [(20 << 20, "best/model.safetensors"), (80 << 20, "last/training.pt")])
def test_a_disk_without_room_is_said_and_the_run_continues_later(tmp_path: Path, room: int, file: str) -> None:
    """A limit on the size of files stands for the disk: it stops the same calls."""
    settings = settings_in(tmp_path, epochs=1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(SegmentationError, match=rf"{file} cannot be written \(.*\).*Make room"):
            train(settings, Watcher())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((tmp_path / "run").rglob("*.partial"))
    assert train(replace(settings, resume=True), Watcher()).best_epoch == 1


def test_a_missing_compiler_is_said(tmp_path: Path) -> None:
    from torch._inductor import config

    with (
        config.patch({"cpp.cxx": (None, "/no/compiler"), "force_disable_caches": True}),
        pytest.raises(
            TrainingError, match=r"--compile does not work here \(.*compiler.*\); train without it, or install"
        ),
    ):
        train_in(tmp_path, compile=True, epochs=1)


@pytest.mark.slow
def test_a_plain_run_continues_compiled(tmp_path: Path) -> None:
    """In a process of its own: the checks of types that tests put around functions cannot be compiled."""
    settings = settings_in(tmp_path, output=str(tmp_path / "plain"))
    train(settings, Watcher())
    with pytest.raises(Stopped):
        train(replace(settings, output=str(tmp_path / "compiled")), StopAfter(6))
    subprocess.run([*command(settings, tmp_path / "compiled"), "--resume", "--compile"], cwd=ROOT, check=True)
    plain, compiled = (load_network(tmp_path / name / "last").state_dict() for name in ("plain", "compiled"))
    assert all(torch.allclose(plain[name], compiled[name], atol=1e-3) for name in plain)
    states = [torch.load(tmp_path / name / "last/training.pt", weights_only=True) for name in ("plain", "compiled")]
    assert states[0]["network"].keys() == states[1]["network"].keys()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": ()}, "nothing to train on"),
        ({"batch_size": 0}, "--batch-size is 0; expected at least 1"),
        ({"learning_rate": -1.0}, "--learning-rate is -1.0"),
        ({"batch_size": 8}, "an epoch of 6 samples is less than one batch of 8"),
        ({"batch_size": 3, "workers": 2}, "--batch-size 3 cannot be divided among --workers 2"),
        ({"output": ""}, "give --output"),
        ({"select": "davis16-val"}, "--select davis16-val names no split of the video datasets; expected held-out"),
        ({"initialization": "absent.pth"}, "'absent.pth' of encoder mit-b0 is neither 'imagenet' nor 'random'"),
        ({"encoder": "mit-b9"}, "'mit-b9' is unknown"),
        ({"device": "cuda"}, "torch sees no GPU"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    if changes.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises((SegmentationError, RuntimeError), match=message):
        train_in(tmp_path, **changes)
    assert not (tmp_path / "run").exists()


def test_data_that_cannot_be_learnt_from_are_refused(tmp_path: Path) -> None:
    make_dataset(tmp_path / "unfinished.zarr", without_shard=1)
    with pytest.raises(DatasetError, match=r"unfinished.zarr is unfinished"):
        train_in(tmp_path, data=(str(tmp_path / "unfinished.zarr"),))
    make_dataset(tmp_path / "old.zarr")
    metadata = json.loads((tmp_path / "old.zarr/zarr.json").read_text())
    metadata["attributes"]["fakeflow"]["schema_version"] = 0
    (tmp_path / "old.zarr/zarr.json").write_text(json.dumps(metadata))
    with pytest.raises(DatasetError, match="has schema version 0"):
        train_in(tmp_path, data=(str(tmp_path / "old.zarr"),))
    videos = make_videos(tmp_path)
    with pytest.raises(DatasetError, match=r"other.zarr holds neither flows of DAVIS-2016 nor"):
        train_in(tmp_path, videos=(videos.replace("flows.zarr", "other.zarr"),))
    mask = tmp_path / "DAVIS/Annotations/480p/bear/00002.png"
    cv2.imwrite(str(mask), np.full((24, 32), 100, np.uint8))
    with pytest.raises(SegmentationError, match=r"frame 00002 of bear cannot be used.*100"):
        train_in(tmp_path, videos=(videos,), samples_per_epoch=24)
    (tmp_path / "DAVIS/ImageSets/480p/train.txt").write_text("")
    with pytest.raises(SegmentationError, match=r"list of split train of DAVIS-2016 in .*DAVIS is empty"):
        train_in(tmp_path, videos=(videos,), output=str(tmp_path / "empty"))
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize(("preset", "says_so"), [("modern", True), ("paper-stage2", False)])
def test_a_run_says_what_mirrored_flow_pictures_lose(tmp_path: Path, preset: Any, says_so: bool) -> None:
    videos = make_videos(tmp_path)
    for video in ("bear", "libby"):
        save_flow_pictures(tmp_path / f"DAVIS/JPEGFlows/480p/{video}", FRAMES, SIZE)
    pictures = videos.replace(str(tmp_path / "flows.zarr"), str(tmp_path / "DAVIS"))
    watcher = Watcher()
    train(settings_in(tmp_path, videos=(pictures,), preset=preset, epochs=1, samples_per_epoch=2), watcher)
    assert any("flow pictures are coloured anew" in sentence for sentence in watcher.said) == says_so


def test_flow_of_several_kinds_is_refused_or_asked_for(tmp_path: Path) -> None:
    videos = make_videos(tmp_path)
    kinds: dict[str, dict[str, Any]] = {
        "weights": {"weights": "raft-small:C_T_V1"},
        "stride": {"stride": 2},
        "same": {},
    }
    for name, kind in kinds.items():
        for video in ("bear", "libby"):
            store_flow(tmp_path / f"{name}.zarr", video, FRAMES, SIZE, **kind)
    other = {name: videos.replace("flows.zarr", f"{name}.zarr") for name in kinds}
    with pytest.raises(
        DatasetError,
        match=r"flow of libby in .*flows.zarr was made by raft-large:C_T_SKHT_V2 \([0-9a-f]{8}\), that of bear in "
        r".*weights.zarr by raft-small:C_T_V1 \([0-9a-f]{8}\); .*--mixed-flow",
    ):
        open_data(settings_in(tmp_path, videos=(videos, other["weights"])))
    with pytest.raises(DatasetError, match=r"flows.zarr has stride 1, that of bear in .*stride.zarr stride 2;"):
        open_data(settings_in(tmp_path, videos=(videos, other["stride"])))
    open_data(settings_in(tmp_path, videos=(videos, other["same"])))
    store_flow(tmp_path / "half.zarr", "bear", FRAMES, SIZE)
    store_flow(tmp_path / "half.zarr", "libby", FRAMES, SIZE, weights="raft-small:C_T_V1")
    half = videos.replace("flows.zarr", "half.zarr")
    with pytest.raises(DatasetError, match=r"bear in .*half.zarr was made by .*, that of libby in .*half.zarr by"):
        open_data(settings_in(tmp_path, videos=(half,)))
    mixed = settings_in(tmp_path, videos=(videos, other["stride"], half), mixed_flow=True)
    assert len(open_data(mixed)[0].sources) == 3
    assert mixed.content() == replace(mixed, mixed_flow=False).content()


def test_frames_of_very_different_sizes_are_a_mixture() -> None:
    def origins(store: str, *sides: int) -> list[FlowOrigin]:
        return [FlowOrigin(f"v{side}", store, "raft-large", "0" * 64, 1, side) for side in sides]

    require_one_kind([*origins("fbms.zarr", 288, 540), *origins("davis.zarr", 480, 480)])
    with pytest.raises(
        DatasetError,
        match=r"the videos in a.zarr was made from frames of 180 px on the shorter side, that of the videos in b.zarr "
        r"from frames of 480 to 720 px",
    ):
        require_one_kind([*origins("a.zarr", 180), *origins("b.zarr", 480, 720)])
    require_one_kind([])


def test_chosen_sequences_alone_are_learnt_from(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, videos=(make_videos(tmp_path),), select="davis16-val", sequences=("be*",))
    mixture, validation = open_data(settings)
    assert {sample.id.split("/")[0] for sample in mixture} == {"bear"}
    assert [name for name, *_ in validation.sequences] == ["libby"]
    (tmp_path / "DAVIS/ImageSets/480p/train.txt").write_text("bear\nlibby\nsurf\n")
    judged = open_data(replace(settings, select="held-out", sequences=("bear", "libby")))[1]
    assert [name for name, *_ in judged.sequences] in (["bear"], ["libby"])
    with pytest.raises(DatasetError, match=r"--sequences lobby chooses nothing in .*: bear, libby, surf"):
        open_data(replace(settings, sequences=("bear", "lobby")))
    with pytest.raises(DatasetError, match="the video surf of DAVIS-2016 cannot be used: listed for train, but absent"):
        open_data(replace(settings, sequences=("surf",)))
    with pytest.raises(TrainingError, match="--sequences is given without --videos"):
        open_data(replace(settings_in(tmp_path), sequences=("bear",)))


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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of ray.data
def test_a_lost_worker_brings_all_back_to_the_last_checkpoint(tmp_path: Path, local_ray: None) -> None:
    settings = settings_in(tmp_path, epochs=8, workers=2, validate_every=1)
    run = tmp_path / "run"
    watcher = KillOnce(run)
    summary = train(settings, watcher)
    assert watcher.killed
    judged = [one["epoch"] for one in records(run) if one["kind"] == "validation"]
    assert judged == list(range(1, 9))
    assert summary.best_score >= 0
    assert not (run / "failure.json").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of ray.data
def test_errors_of_workers_reach_the_user_in_a_sentence(tmp_path: Path, local_ray: None) -> None:
    changes = {"workers": 2, "preset": "paper-stage2", "output": str(tmp_path / "high")}
    with pytest.raises(TrainingError, match=r"the loss is (nan|inf) in epoch 1, step 2.*there is no checkpoint yet"):
        train_in(tmp_path, learning_rate=1e30, **changes)
    assert sorted(path.name for path in (tmp_path / "high").iterdir()) == [
        "metrics.jsonl",
        "settings.json",
        "tensorboard",
    ]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of ray.data
def test_ctrl_c_stops_workers_after_their_step(tmp_path: Path, local_ray: None) -> None:
    settings = settings_in(tmp_path, epochs=10_000, workers=2, validate_every=10_000)
    with pytest.raises(Stopped):
        train(settings, StopAtFirst())
    step = torch.load(tmp_path / "run/last/training.pt", weights_only=True)["position"]["step"]
    assert step >= 3
    watcher = StopAtFirst()
    with pytest.raises(Stopped):
        train(replace(settings, resume=True), watcher)
    assert watcher.counted[0][1] == 2 * step < watcher.counted[1][1]
    assert not (tmp_path / "run/stop").exists()


class StopAtFirst(Watcher):
    """Presses Ctrl-C at the first sign that workers train."""

    def update(self, to_do: int, done: int, failed: int, note: str = "") -> None:
        super().update(to_do, done, failed, note)
        if len(self.counted) == 2:  # the first says what an earlier run did
            signal.raise_signal(signal.SIGINT)


class KillOnce(Watcher):
    """Kills one of the processes that train when the third epoch is judged."""

    def __init__(self, run: Path) -> None:
        super().__init__()
        self.run, self.killed = run, 0

    def announce(self, sentence: str) -> None:
        super().announce(sentence)
        if sentence.startswith("epoch 3:") and not self.killed:
            below = sorted(descendants(os.getpid()))  # a local Ray is started by the process that uses it
            self.killed = next(pid for pid in below if "RayTrainWorker" in command_line(pid))
            os.kill(self.killed, signal.SIGKILL)
