"""The sheet of the worst frames shows the right ones, and in them truth and prediction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segmentation.errors import SegmentationError
from segmentation.scoring.protocols import PROTOCOLS
from segmentation.scoring.score import Scores, SequenceScore, score_predictions
from segmentation.scoring.worst_frames import PREDICTION_COLOR, TRUTH_COLOR, choose_worst, draw_worst_frames
from segmentation.videos.datasets import open_dataset
from tests.conftest import write_png
from tests.segmentation.drawn_videos import draw_davis, read_rgb


def scores_of(**scores: list[float]) -> Scores:
    sequences = (
        SequenceScore(name, None, tuple(f"{k:05d}" for k in range(len(J))), np.array(J), None)
        for name, J in scores.items()
    )
    return Scores(PROTOCOLS["fbms"], tuple(sequences), ())


def test_the_lowest_come_first_and_not_all_from_one_moment() -> None:
    fails = [0.9] * 10 + [0.1, 0.05, 0.12] + [0.9] * 20 + [0.2] + [0.9] * 20 + [0.3, 0.95] + [0.9] * 20 + [0.4]
    worst = choose_worst(scores_of(libby=fails, surf=[0.5, 0.7]))
    assert [(bad.sequence, bad.frame, bad.J) for bad in worst] == [
        ("libby", "00011", 0.05),
        ("libby", "00033", 0.2),
        ("libby", "00054", 0.3),
        ("surf", "00000", 0.5),
    ]
    assert len(choose_worst(scores_of(**{f"video{k}": [k / 20] for k in range(20)}))) == 12


def pixels_like(picture: np.ndarray, color: tuple[int, int, int]) -> int:
    return int((np.abs(picture.astype(int) - color).sum(axis=2) < 60).sum())


def test_outlines_of_truth_and_prediction(tmp_path: Path) -> None:
    root = draw_davis(tmp_path / "DAVIS", libby=4)
    for k in range(4):
        mask = np.zeros((128, 160), np.uint8)
        mask[50:110, 60 + k : 120 + k] = 255
        write_png(tmp_path / f"out/libby/{k:05d}.png", mask)
    dataset = open_dataset("davis16", root)
    scores = score_predictions(dataset, tmp_path / "out", PROTOCOLS["davis16"])
    draw_worst_frames(scores, dataset, tmp_path / "out", 0.5, tmp_path / "sheets/worst.png")
    sheet = read_rgb(tmp_path / "sheets/worst.png")
    for color in (TRUTH_COLOR, PREDICTION_COLOR):
        # Outlines of about 4 x 60 px, drawn in a picture twice as large.
        assert 200 < pixels_like(sheet, color) < 4000
    with pytest.raises(SegmentationError, match=r"worst.xyz cannot be written.*expected a name such as worst.png"):
        draw_worst_frames(scores, dataset, tmp_path / "out", 0.5, tmp_path / "worst.xyz")
