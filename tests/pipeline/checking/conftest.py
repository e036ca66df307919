"""A small dataset that tests may damage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.pipeline.drawn_dataset import make_dataset


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verify") / "x.zarr"
    make_dataset(str(folder))
    return folder


@pytest.fixture
def dataset(made_once: Path, tmp_path: Path) -> Path:
    shutil.copytree(made_once, tmp_path / "x.zarr")
    return tmp_path / "x.zarr"
