"""Means of a validation: over the frames of a sequence first, then over sequences."""

from __future__ import annotations

import math

import pytest

from segmentation.training.validation import SampleScore, ValidationScore, summarize, warn_of_empty_masks

SCORES = [
    SampleScore("short", 0.2, 0.4),
    *[SampleScore("long", 0.6, 0.8), SampleScore("long", 0.8, 1.0), SampleScore("long", 1.0, 0.6)],
]


def test_sequences_count_alike_however_long_they_are() -> None:
    found = summarize(SCORES, with_boundaries=True)
    assert (found.measure, found.J, found.F) == ("J&F", pytest.approx(0.5), pytest.approx(0.6))
    assert found.value == pytest.approx(0.55)
    assert found.sequences == {"long": pytest.approx(0.8), "short": pytest.approx(0.3)}


def test_without_boundaries_the_value_is_iou() -> None:
    scores = [SampleScore(score.sequence, score.J, math.nan) for score in SCORES]
    found = summarize(scores, with_boundaries=False)
    assert (found.measure, found.value, found.F) == ("IoU", pytest.approx(0.5), None)
    assert found.sequences == {"long": pytest.approx(0.8), "short": pytest.approx(0.2)}


@pytest.mark.parametrize(
    ("region", "done", "warns"), [(0.07, 0.5, True), (0.07, 0.1, False), (0.3, 1.0, False), (0.0, 0.25, True)]
)
def test_a_network_that_finds_nothing_is_warned_of(region: float, done: float, warns: bool) -> None:
    score = ValidationScore("IoU", region, region, None, {"bear": region})
    warning = warn_of_empty_masks(score, done)
    assert (warning is not None) == warns
    if warning:
        assert f"its validation IoU is {region:.2f} after {done:.0%} of the training" in warning
