"""The table of the comparison of training data: gains over videos alone, and those of single changes."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.ablation_table import answers, summary

SEQUENCES = [f"sequence{k}" for k in range(4)]


def run(arm: str, seed: int, held_out: float, val: float) -> dict[str, Any]:
    """The record of a run whose sequences all have one score."""
    judged = {
        name: {"J&F": score, "sequences": dict.fromkeys(SEQUENCES, score)}
        for name, score in {"held-out": held_out, "val": val}.items()
    }
    return {"arm": arm, "seed": seed, "training_loss": 0.1, "as_trained": judged, "larger": judged}


RUNS = [
    run("davis-small", 0, 0.75, 0.7),
    run("videos", 1, 0.7, 0.7),
    run("videos", 0, 0.6, 0.8),
    run("davis-estimated", 0, 0.7, 0.725),
]
SEEN = dict.fromkeys(("videos", "davis-estimated", "davis-small"), 0.5)


def test_rows_follow_the_order_of_the_arms_and_seeds_and_have_the_gain_over_videos_alone() -> None:
    videos, estimated, small = summary(RUNS, SEEN)
    assert [row["arm"] for row in (videos, estimated, small)] == ["videos", "davis-estimated", "davis-small"]
    assert videos["seeds"] == [0, 1]
    held_out = videos["larger"]["held-out"]
    assert held_out == {"mean": pytest.approx(0.65), "spread": pytest.approx(0.1), "all": [0.6, 0.7]}
    assert estimated["larger"]["held-out"]["gain"] == pytest.approx({"mean": 0.05, "low": 0.0, "high": 0.1})
    assert small["larger"]["val"]["gain"] == pytest.approx({"mean": -0.05, "low": -0.1, "high": 0.0})


def test_a_question_is_answered_if_both_of_its_arms_have_runs() -> None:
    (found,) = answers(RUNS)
    assert found["question"] == "smaller objects"
    assert found["held-out"] == pytest.approx({"mean": 0.05, "low": 0.05, "high": 0.05})
    assert found["val"]["mean"] == pytest.approx(-0.025)
