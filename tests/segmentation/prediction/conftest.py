"""Fixtures of the tests of prediction: small weights of RAFT and a small network."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.segmentation.drawn_videos import save_small_network
from tests.segmentation.stand_in_raft import save_checkpoint


@pytest.fixture(scope="module")
def raft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("raft") / "small.pth", "raft_small")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_network(tmp_path_factory.mktemp("networks") / "mine")
