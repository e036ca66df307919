"""The interval of a difference: differences between sequences cancel out, those between seeds do not."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.paired_gain import paired_gain

SEQUENCES = [f"sequence{k}" for k in range(10)]


def drawn(*above: float) -> list[dict[str, float]]:
    """Runs whose scores differ much between sequences, and by `above` between runs."""
    difficulty = np.linspace(0.2, 0.9, len(SEQUENCES))
    return [dict(zip(SEQUENCES, (difficulty + one).tolist(), strict=True)) for one in above]


def test_a_gain_on_every_sequence_is_sure_although_sequences_differ() -> None:
    found = paired_gain(drawn(0.05, 0.05, 0.05), drawn(0.0, 0.0, 0.0))
    assert found == pytest.approx({"mean": 0.05, "low": 0.05, "high": 0.05})


def test_scatter_of_seeds_makes_the_same_gain_unsure() -> None:
    found = paired_gain(drawn(0.15, 0.05, -0.05), drawn(0.1, 0.0, -0.1))
    assert found["low"] < 0 < found["high"]
    assert found["mean"] == pytest.approx(0.05)


def test_sequences_are_compared_by_name_and_those_with_other_gains_widen_the_interval() -> None:
    rivals = drawn(0.0, 0.0, 0.0)
    runs = [dict(reversed(one.items())) for one in rivals]
    assert paired_gain(runs, rivals) == {"mean": 0.0, "low": 0.0, "high": 0.0}
    runs = [{**one, "sequence0": one["sequence0"] + 0.5} for one in rivals]
    found = paired_gain(runs, rivals)
    assert found["low"] == pytest.approx(0)
    assert found["mean"] == pytest.approx(0.05)
    assert found["high"] > 0.1
