"""MAE, F-beta, S- and E-measure against the numbers of PySODMetrics."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from segmentation.scoring.saliency import join, score_saliency
from tests.segmentation.saliency_cases import CASES, draw

REFERENCE = json.loads((Path(__file__).parents[1] / "reference/saliency.json").read_text())["scores"]


@pytest.mark.parametrize("case", CASES)
def test_measures_equal_pysodmetrics(case: str) -> None:
    scores = score_saliency(*draw(case))
    found = scores.summary() | {"mean F-beta": scores.f.mean(), "mean E-measure": scores.e.mean()}
    assert found == pytest.approx(REFERENCE[case], abs=1e-9)


def test_frames_are_independent_and_can_be_joined() -> None:
    prediction, truth = draw("soft")
    together = score_saliency(prediction, truth)
    alone = join([score_saliency(prediction[k : k + 1], truth[k : k + 1]) for k in range(len(truth))])
    for name in ("mae", "s", "f", "e"):
        assert np.array_equal(getattr(together, name), getattr(alone, name))
        assert getattr(together.mean(), name)[0] == pytest.approx(getattr(together, name).mean(axis=0))


def test_perfect_masks() -> None:
    _, truth = draw("soft")
    scores = score_saliency(truth.astype(np.uint8) * np.uint8(255), truth).summary()
    assert scores == pytest.approx({"MAE": 0, "max F-beta": 1, "S-measure": 1, "max E-measure": 1}, abs=1e-3)


def test_one_pixel_objects_and_frames() -> None:
    truth = np.zeros((1, 5, 7), bool)
    truth[0, 4, 6] = True
    scores = score_saliency(truth.astype(np.uint8) * np.uint8(255), truth)
    assert np.isfinite(scores.s).all()
    assert np.isfinite(scores.e).all()
    assert scores.f.max() == 1
