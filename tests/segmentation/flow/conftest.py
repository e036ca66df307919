"""Fixtures of the tests of flow: small stand-in weights of RAFT, and the command that estimates flow."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.segmentation.commands import Command, Outcome
from tests.segmentation.stand_in_raft import save_checkpoint


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("weights") / "small.pth", "raft_small")


@pytest.fixture
def flows(segmentation: Command, weights: Path, tmp_path: Path) -> Command:
    """Run `segmentation flows` with small weights and one iteration."""

    def run(*arguments: str | Path, output: Path | None = None) -> Outcome:
        fixed = ["--raft", weights, "--raft-iterations", 1, "--workers", 0]
        return segmentation("flows", *fixed, "--output", output or tmp_path / "out.zarr", *arguments)

    return run


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    return {name: save_checkpoint(folder / f"{name}.pth", name) for name in ("raft", "raft_small")}
