"""`pipeline run` from photos to a dataset: values, metadata, resuming, refusing."""

from __future__ import annotations

import inspect
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
import zarr

from flowsim import MotionSample, simulate_flow
from pipeline.dataset import schema
from pipeline.dataset.store import DatasetStore
from pipeline.engine import run_tasks as engine
from pipeline.errors import PipelineError
from pipeline.making.config import RunConfig
from pipeline.making.run import run
from pipeline.photos.decoding import decode_pair
from tests.conftest import ROOT, MakeDuts, draw_duts
from tests.pipeline.drawn_dataset import contents

SMALL = {"depth_model": "tiny-dpt", "max_side": 96, "samples_per_shard": 2, "motion": "camera+object"}


def config(root: Path, output: Path, **changes: object) -> RunConfig:
    return RunConfig(**{"input": str(root), "output": str(output), "workers": 0, **SMALL, **changes})  # type: ignore[arg-type]


class Watcher:
    """Keeps what a run tells its watcher."""

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.counts: list[tuple[int, int, int]] = []

    def announce(self, sentence: str) -> None:
        self.sentences.append(sentence)

    def update(self, photos_to_do: int, done: int, failed: int) -> None:
        self.counts.append((photos_to_do, done, failed))


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made_once")
    run(config(draw_duts(folder / "DUTS", 5), folder / "undisturbed.zarr", motions=2), Watcher())
    return folder


@pytest.fixture
def dataset(made_once: Path, tmp_path: Path) -> Path:
    """Return a dataset that a test may change; the photos that it was made from are in the folder DUTS beside it."""
    shutil.copytree(made_once, tmp_path, dirs_exist_ok=True)
    return tmp_path / "undisturbed.zarr"


def test_every_array_holds_what_the_schema_says(dataset: Path, tmp_path: Path) -> None:
    group = zarr.open_group(str(dataset), mode="r")
    layout = DatasetStore.open(str(dataset)).layout
    specs = schema.array_specs(layout)
    assert set(group.array_keys()) == set(specs)
    for name, spec in specs.items():
        array = group[name]
        assert isinstance(array, zarr.Array)
        assert array.shape == spec.shape
        assert array.metadata.dimension_names == spec.dimensions
    assert (group["status"][:] == schema.USABLE).all()
    assert list(group["id"][:]) == [f"scene_{i:03d}" for i in range(5)]
    folder = tmp_path / "DUTS/DUTS-TR"
    for row in range(5):
        photo, mask = decode_pair(
            (folder / f"DUTS-TR-Image/scene_{row:03d}.png").read_bytes(),
            (folder / f"DUTS-TR-Mask/scene_{row:03d}.png").read_bytes(),
            96,
        )
        height, width = group["size"][row]
        assert (height, width) == mask.shape
        assert (group["image"][row, :height, :width] == photo).all()
        assert (group["mask"][row, :height, :width] == mask).all()
        assert not group["image"][row, height:].any()
        assert not group["flow"][row, :, :, width:].any()


def test_stored_motion_reproduces_stored_flow(dataset: Path) -> None:
    store = DatasetStore.open(str(dataset))
    for row in range(5):
        height, width = store.read("size", row)
        depth = schema.decode_inverse_depth(store.read("inverse_depth", row)[:height, :width])
        mask = store.read("mask", row)[:height, :width] > 0
        for index in range(2):
            motion = MotionSample.from_vector(store.read("motion", row)[index])
            assert motion.is_resolved
            again = simulate_flow(depth, mask, motion)
            stored = schema.decode_flow(store.read("flow", row)[index, :height, :width])
            np.testing.assert_allclose(again.flow, stored, atol=0.5 / schema.FLOW_STEPS_PER_PIXEL + 1e-4)
            assert np.abs(stored).max() > 0.2


def test_two_motions_of_a_photo_differ_and_so_do_two_photos(dataset: Path) -> None:
    motion = DatasetStore.open(str(dataset)).read("motion", slice(None)).reshape(10, -1)
    assert len(np.unique(motion, axis=0)) == 10


def test_xarray_decodes_units(dataset: Path) -> None:
    opened = xarray.open_zarr(str(dataset))
    assert opened["flow"].dims == ("sample", "motion_index", "row", "column", "uv")
    assert opened["flow"].attrs["units"] == "pixel"
    raw = zarr.open_group(str(dataset), mode="r")["flow"][0]
    np.testing.assert_allclose(opened["flow"][0].values, raw / schema.FLOW_STEPS_PER_PIXEL)
    depth = opened["inverse_depth"][0].values
    assert depth.min() >= 0
    assert depth.max() == pytest.approx(1)


def test_attributes_say_how_it_was_made(dataset: Path) -> None:
    attributes = zarr.open_group(str(dataset), mode="r").attrs["fakeflow"]
    assert attributes["schema_version"] == schema.SCHEMA_VERSION
    assert attributes["settings"]["depth"]["model"] == "tiny-dpt"
    assert len(attributes["settings"]["depth"]["sha256"]) == 64
    assert attributes["settings"]["motion_prior"]["name"] == "camera+object"
    assert len(attributes["fingerprint"]) == 64


def test_same_command_on_a_complete_dataset_does_nothing(dataset: Path, tmp_path: Path) -> None:
    before = contents(dataset)
    summary = run(config(tmp_path / "DUTS", dataset, motions=2), Watcher())
    assert summary.photos_made_now == 0
    assert contents(dataset) == before


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_give_the_same_bytes(make_duts: MakeDuts, tmp_path: Path, workers: int, local_ray: None) -> None:
    root = make_duts(9)
    run(config(root, tmp_path / "here.zarr"), Watcher())
    run(config(root, tmp_path / "ray.zarr", workers=workers), Watcher())
    assert contents(tmp_path / "ray.zarr") == contents(tmp_path / "here.zarr")


def test_lost_commit_records_and_strays_are_made_good(dataset: Path, tmp_path: Path) -> None:
    before = contents(dataset)
    (dataset / ".fakeflow/commits/000001.json").unlink()
    (dataset / "flow/c/1/0/0/0/0").write_bytes(b"half a shard")
    (dataset / "image/c/0.0123456789.partial").write_bytes(b"left by a killed run")
    summary = run(config(tmp_path / "DUTS", dataset, motions=2), Watcher())
    assert summary.photos_made_now == 2
    assert contents(dataset) == before


DIES_AT_A_COMMIT = """
import os, signal, sys
left = int(sys.argv.pop(1))

def die_in_time(event, arguments):
    global left
    if event == "os.rename" and str(arguments[1]).endswith(".json") and ".fakeflow/commits" in str(arguments[1]):
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

sys.addaudithook(die_in_time)
from pipeline.cli import main
main()
"""
"""The command, killed just before it would commit one shard more than its first argument."""


@pytest.mark.parametrize("committed_before_kill", [0, 1, 3])
def test_killed_run_continues_to_the_same_dataset(
    make_duts: MakeDuts, tmp_path: Path, committed_before_kill: int
) -> None:
    root, output = make_duts(9), tmp_path / "killed.zarr"
    command = [sys.executable, "-c", DIES_AT_A_COMMIT, str(committed_before_kill)]
    command += ["run", "--input", str(root), "--output", str(output)]
    command += ["--workers", "0", "--depth-model", "tiny-dpt", "--max-side", "96", "--samples-per-shard", "2"]
    command += ["--motion", "camera+object"]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(DatasetStore.open(str(output)).committed()) == committed_before_kill
    assert run(config(root, output), Watcher()).photos_made_now == 9 - 2 * committed_before_kill
    run(config(root, tmp_path / "alone.zarr"), Watcher())
    assert contents(output) == contents(tmp_path / "alone.zarr")


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"seed": 7}, r"seed: 0 -> 7"),
        ({"motions": 1}, r"motions: 2 -> 1"),
        ({"motion": "camera"}, r"motion: camera\+object -> camera"),
        ({"max_side": 64}, r"max_side: 96 -> 64"),
        ({"limit": 3}, r"other photos \(5 photos there, 3 now; not listed any more: scene_003, scene_004\)"),
        ({"normalization": "percentile"}, r"normalization: minmax -> percentile"),
    ],
)
def test_changed_setting_is_refused_and_shown(
    dataset: Path, tmp_path: Path, change: dict[str, object], shown: str
) -> None:
    before = contents(dataset)
    with pytest.raises(PipelineError, match=shown):
        run(config(tmp_path / "DUTS", dataset, **{"motions": 2, **change}), Watcher())
    assert contents(dataset) == before


def test_changed_listing_is_refused(dataset: Path, tmp_path: Path) -> None:
    for part in ("Image", "Mask"):
        (tmp_path / f"DUTS/DUTS-TR/DUTS-TR-{part}/scene_004.png").unlink()
    with pytest.raises(PipelineError, match=r"5 photos there, 4 now; not listed any more: scene_004"):
        run(config(tmp_path / "DUTS", dataset, motions=2), Watcher())


def test_a_second_writer_is_refused(dataset: Path, tmp_path: Path) -> None:
    with DatasetStore.open(str(dataset)).sole_writer(), pytest.raises(PipelineError, match="Another run is writing"):
        run(config(tmp_path / "DUTS", dataset, motions=2), Watcher())


@pytest.mark.slow
def test_two_commands_started_together_never_mix(make_duts: MakeDuts, tmp_path: Path) -> None:
    root = make_duts(40)
    run(config(root, tmp_path / "alone.zarr"), Watcher())
    for attempt in range(3):
        output = tmp_path / f"both{attempt}.zarr"
        command = [sys.executable, "-m", "pipeline.cli", "run", "--input", str(root), "--output", str(output)]
        command += ["--workers", "0", "--depth-model", "tiny-dpt", "--motion", "camera+object"]
        command += ["--max-side", "96", "--samples-per-shard", "2"]
        both = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        said = [process.communicate(timeout=300)[1] for process in both]
        codes = [process.returncode for process in both]
        assert 0 in codes, said
        for code, words in zip(codes, said, strict=True):
            assert code == 0 or "Another run is writing" in words
            assert "Traceback" not in words
        assert contents(output) == contents(tmp_path / "alone.zarr")


def test_progress_counts_every_photo_once(make_duts: MakeDuts, tmp_path: Path) -> None:
    watcher = Watcher()
    run(config(make_duts(), tmp_path / "out.zarr"), watcher)
    assert watcher.counts[-1] == (5, 5, 0)
    assert [done for _, done, _ in watcher.counts] == sorted(done for _, done, _ in watcher.counts)
    assert watcher.counts[0] == (5, 0, 0)
    assert len(watcher.counts) == 1 + 3
    assert "5 photos" in watcher.sentences[0]
    assert "in this process" in watcher.sentences[-1]


def test_interrupted_run_says_how_to_continue(make_duts: MakeDuts, tmp_path: Path) -> None:
    root, output = make_duts(150), tmp_path / "stopped.zarr"
    command = [sys.executable, "-m", "pipeline.cli", "run", "--input", str(root), "--output", str(output)]
    command += ["--workers", "0", "--depth-model", "tiny-dpt", "--max-side", "96", "--samples-per-shard", "1"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}

    def listen() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # who starts the tests in the background has it ignored

    with subprocess.Popen(command, cwd=ROOT, preexec_fn=listen, **pipes) as process:
        while process.poll() is None and not list(output.glob(".fakeflow/commits/*.json")):
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "the same command continues" in errors
    assert DatasetStore.open(str(output)).committed()


def test_photos_are_declared_alike_so_that_stragglers_are_replaced(
    make_duts: MakeDuts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared, run_tasks = [], engine.run_tasks

    def recorded(*arguments: Any, **options: Any) -> Any:
        declared.append(inspect.signature(run_tasks).bind(*arguments, **options).arguments.get("are_alike", False))
        return run_tasks(*arguments, **options)

    monkeypatch.setattr(engine, "run_tasks", recorded)
    run(config(make_duts(2), tmp_path / "x.zarr"), Watcher())
    assert declared == [True]


@pytest.mark.gpu
def test_a_gpu_makes_the_same_dataset_but_for_rounding(made_once: Path, tmp_path: Path) -> None:
    run(config(made_once / "DUTS", tmp_path / "gpu.zarr", motions=2, device="cuda"), Watcher())
    on_cpu, on_gpu = (DatasetStore.open(str(path)) for path in (made_once / "undisturbed.zarr", tmp_path / "gpu.zarr"))
    for name in ("image", "mask", "size", "id", "status"):
        np.testing.assert_array_equal(on_cpu.read(name, slice(None)), on_gpu.read(name, slice(None)))
    depths = [store.read("inverse_depth", slice(None)).astype(float) / 4095 for store in (on_cpu, on_gpu)]
    assert np.abs(depths[0] - depths[1]).mean() < 0.01
    flows = [schema.decode_flow(store.read("flow", slice(None))) for store in (on_cpu, on_gpu)]
    assert np.nanmean(np.abs(flows[0] - flows[1])) < 0.05 * np.nanmean(np.abs(flows[0]))
