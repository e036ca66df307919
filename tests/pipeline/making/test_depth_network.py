"""The depth network of a run: identified without loading it, and what a network that cannot be loaded leaves."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from depth import DepthError
from depth.model_files import EMBEDDED_FOLDER
from pipeline.dataset.store import DatasetStore
from pipeline.making.config import RunConfig
from pipeline.making.run import run
from tests.conftest import ROOT, MakeDuts


def settings(root: Path, output: Path, depth_model: str = "tiny-dpt") -> dict[str, object]:
    return {"input": str(root), "output": str(output), "depth_model": depth_model, "max_side": 96, "workers": 0}


def test_a_complete_dataset_is_recognised_without_loading_torch(make_duts: MakeDuts, tmp_path: Path) -> None:
    given = settings(make_duts(2), tmp_path / "out.zarr")
    run(RunConfig(**given))  # type: ignore[arg-type]
    code = (
        f"import sys\nfrom pipeline import RunConfig, run\nprint(run(RunConfig(**{given!r})).photos_made_now)\n"
        "print(sorted({'torch', 'ray', 'numba', 'transformers'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "0\n[]\n", done.stderr


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
