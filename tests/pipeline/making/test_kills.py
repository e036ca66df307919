"""Runs that are killed at random moments lose nothing: after the same command again, an undisturbed run's bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.kills import KilledRuns
from benchmarks.pieces import write_tree


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "moments"), [("at_seconds", 4), pytest.param("at_operations", 6, marks=pytest.mark.ci), ("on_ray", 3)]
)
def test_nothing_is_lost_damaged_or_duplicated(tmp_path: Path, way: str, moments: int) -> None:
    runs = KilledRuns(write_tree(tmp_path / "DUTS", 16, 64), tmp_path, seed=1)
    outcomes = getattr(runs, way)(moments)
    assert len(outcomes) == moments
    for outcome in outcomes:
        assert (outcome.lost, outcome.damaged, outcome.duplicated) == (0, 0, 0), outcome
    if way == "on_ray":
        assert [outcome.victim for outcome in outcomes] == ["driver", "worker", "raylet"]
    else:
        assert all(outcome.exit_code == -9 for outcome in outcomes)
