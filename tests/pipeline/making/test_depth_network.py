"""The depth network of a run: identified without loading it, and what a network that cannot be loaded leaves."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from depth import DepthError
from depth.model_files import EMBEDDED_FOLDER, find_model
from depth.weights import DEFAULT_MODEL, KNOWN_MODELS
from pipeline.dataset.schema import Layout
from pipeline.dataset.store import DatasetStore
from pipeline.engine.placement import Share
from pipeline.making.config import RunConfig
from pipeline.making.network_identity import identify_network
from pipeline.making.plan import ShardOutcome
from pipeline.making.run import run
from pipeline.making.worker import ShardWorker
from tests.conftest import ROOT, MakeDuts


def settings(root: Path, output: Path, depth_model: str = "tiny-dpt") -> dict[str, object]:
    return {"input": str(root), "output": str(output), "depth_model": depth_model, "max_side": 96, "workers": 0}


HEAVY = ("torch", "ray", "numba", "transformers", "timm", "zarr", "cv2", "PIL", "pandas")


def loaded_by(*command: str) -> tuple[str, set[str]]:
    """Run a command of `pipeline` in a new process; return its output and the heavy libraries that it loaded."""
    code = (
        "import sys, pipeline.cli\n"
        "try: pipeline.cli.main()\n"
        f"finally: print('loaded', *sorted(set({HEAVY!r}) & sys.modules.keys()), flush=True)"
    )
    done = subprocess.run([sys.executable, "-c", code, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    said, _, loaded = done.stdout.rpartition("loaded")
    return said + done.stderr, set(loaded.split())


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_finished_dataset_answers_without_loading_anything_heavy(
    make_duts: MakeDuts, tmp_path: Path, workers: str
) -> None:
    root, output = make_duts(2), str(tmp_path / "out.zarr")
    run(RunConfig(**settings(root, tmp_path / "out.zarr")))  # type: ignore[arg-type]
    fixed = ("--depth-model", "tiny-dpt", "--max-side", "96", "--workers", workers)
    said, loaded = loaded_by("run", "--input", str(root), "--output", output, *fixed)
    assert "2 of 2 photos usable, 0 in this run" in said
    assert not loaded
    said, loaded = loaded_by("status", output)
    assert "complete" in said
    assert not loaded


def test_mistakes_are_found_before_anything_heavy_is_loaded(tmp_path: Path) -> None:
    said, loaded = loaded_by("run", "--input", str(tmp_path / "absent"), "--output", str(tmp_path / "out.zarr"))
    assert "does not exist" in said
    assert not loaded
    said, loaded = loaded_by("status", str(tmp_path / "absent.zarr"))
    assert "there is no dataset here" in said
    assert not loaded


def test_a_dataset_of_a_commit_of_the_hub_needs_no_weights_to_be_recognised(tmp_path: Path) -> None:
    revision = KNOWN_MODELS[DEFAULT_MODEL].revision
    given = RunConfig(output=str(tmp_path / "out.zarr"), depth_model=DEFAULT_MODEL)
    stored = {**find_model("tiny-dpt").describe(), "model": DEFAULT_MODEL, "revision": revision, "sha256": "5" * 64}
    store = DatasetStore(given.output)
    store.create(Layout(3, 1, 32, ("t",), 2), {"settings": {"depth": stored}})
    assert identify_network(given, store, None)["sha256"] == "5" * 64


def test_outcomes_of_workers_are_read_without_torch() -> None:
    outcome = pickle.dumps(ShardOutcome(0, 2, (), {"depth": 1.0}))
    code = f"import pickle, sys; print(pickle.loads({outcome!r}).photos, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "2 False\n"


def test_a_machine_with_other_weights_is_refused(make_duts: MakeDuts, tmp_path: Path) -> None:
    folder = tmp_path / "network"
    shutil.copytree(EMBEDDED_FOLDER, folder)
    given = RunConfig(**settings(make_duts(1), tmp_path / "out.zarr", str(folder)))  # type: ignore[arg-type]
    run(given)
    with (folder / "model.safetensors").open("ab") as weights:
        weights.write(b"0")
    with pytest.raises(DepthError, match=r"network on .* are not those that the dataset was begun with \(\w{12}\)"):
        ShardWorker(given, Share("cpu", 1))


def test_a_network_that_cannot_be_loaded_leaves_no_dataset(make_duts: MakeDuts, tmp_path: Path) -> None:
    folder = tmp_path / "network"
    shutil.copytree(EMBEDDED_FOLDER, folder)
    given = settings(make_duts(2), tmp_path / "out.zarr", str(folder))
    whole = (folder / "config.json").read_text()
    (folder / "config.json").write_text(whole.replace('"width": 48', '"width": 32'))
    with pytest.raises(DepthError, match="belong to another network"):
        run(RunConfig(**given))  # type: ignore[arg-type]
    assert not DatasetStore(str(tmp_path / "out.zarr")).exists()
    (folder / "config.json").write_text(whole.replace('"short_side": 256', '"short_side": 224'))  # another network
    assert run(RunConfig(**given)).photos_made_now == 2  # type: ignore[arg-type]
