"""Training: what a run leaves behind, that it learns, stops, continues bit for bit, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from training_runs import train_in


def test_x(tmp_path: Path) -> None:
    print(train_in(tmp_path))
    print((tmp_path / "run/metrics.jsonl").read_text())
