"""Fixtures of the tests of flow: small stand-in weights of RAFT, and the command that estimates flow."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from segmentation import cli
from tests.segmentation.flow_videos import Flows
from tests.segmentation.stand_in_raft import save_checkpoint


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("weights") / "small.pth", "raft_small")


@pytest.fixture
def flows(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Flows:
    """Run the command; return exit code or error message, and what was printed."""

    def run(*arguments: str | Path, output: Path | None = None) -> tuple[int | str | None, str]:
        fixed = [
            "--raft",
            weights,
            "--raft-iterations",
            "1",
            "--workers",
            "0",
            "--output",
            output or tmp_path / "out.zarr",
        ]
        monkeypatch.setattr(sys, "argv", ["segmentation", "flows", *map(str, [*fixed, *arguments])])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        return stopped.value.code, printed.out + printed.err

    return run


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    return {name: save_checkpoint(folder / f"{name}.pth", name) for name in ("raft", "raft_small")}
