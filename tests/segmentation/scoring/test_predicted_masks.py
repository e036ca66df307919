"""Predicted masks: every kind of file, and predictions that belong to no frame or are missing."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.segmentation import slow_measures, trees
from tests.segmentation.commands import refusal
from tests.segmentation.score_command import Score, predict


@pytest.mark.parametrize("kind", ["0/255", "0/1", "palette", "soft", "black and white", "rgb"])
def test_masks_of_any_kind_give_the_same_scores(kind: str, davis: Path, tmp_path: Path, score: Score) -> None:
    from PIL import Image

    for frame in range(6):
        mask = trees.square(frame + 3)
        soft = np.where(mask, 128, 127).astype(np.uint8)
        pixels = {
            "0/255": trees.grey(mask),
            "0/1": mask.astype(np.uint8),
            "palette": trees.palette(mask),
            "soft": soft,
            "black and white": Image.fromarray(trees.grey(mask)).convert("1"),
            "rgb": np.repeat(trees.grey(mask)[..., None], 3, axis=2),
        }[kind]
        trees.save(tmp_path / f"out/libby/{frame:05d}.png", pixels)
    code, scores, _ = score("davis16", davis, tmp_path / "out")
    assert code == 0
    expected = slow_measures.region_similarity(trees.square(3), trees.square(2))
    assert scores["mean"]["J"]["mean"] == pytest.approx(expected)


def test_a_nearly_black_soft_mask_is_no_label(davis: Path, tmp_path: Path, score: Score) -> None:
    predict(tmp_path / "out", "libby", dict.fromkeys(range(6), 2))
    trees.save(tmp_path / "out/libby/00001.png", trees.square(3).astype(np.uint8))
    assert score("davis16", davis, tmp_path / "out")[1]["sequences"]["libby"]["per_frame"]["J"] == [0, 1, 1, 1]


def test_threshold(davis: Path, tmp_path: Path, score: Score) -> None:
    for frame in range(6):
        levels = np.where(trees.square(frame + 2), 200, np.where(trees.square(frame + 3), 100, 0)).astype(np.uint8)
        trees.save(tmp_path / f"out/libby/{frame:05d}.png", levels)
    scores = {
        t: score("davis16", davis, tmp_path / "out", "--threshold", t)[1]["mean"]["J"]["mean"]
        for t in ("0.3", "0.5", "0.9")
    }
    assert scores["0.5"] == 1
    assert 0 < scores["0.3"] < 1
    assert scores["0.9"] == 0
    code, *_ = score("davis16", davis, tmp_path / "out", "--threshold", "128")
    assert "--threshold is 128.0; expected more than 0, at most 1" in refusal(code)


def test_missing_and_surplus_predictions_are_listed_and_refused(davis: Path, tmp_path: Path, score: Score) -> None:
    predict(tmp_path / "out", "libby", {1: 2, 2: 2, 7: 2})
    predict(tmp_path / "out", "surf", {0: 0})
    message = refusal(score("davis16", davis, tmp_path / "out")[0])
    assert "2 of 4 predictions are missing: libby/00003, libby/00004" in message
    assert "2 predictions belong to no frame: libby/00007.png, surf" in message
    assert "--allow-missing" in message
    code, scores, printed = score("davis16", davis, tmp_path / "out", "--allow-missing")
    assert code == 0
    assert scores["sequences"]["libby"]["per_frame"]["frame"] == ["00001", "00002"]
    assert scores["mean"]["J"]["mean"] == 1
    assert "2 of 4 predictions are missing" in printed
    assert scores["notes"]


def test_linked_folders_of_predictions(davis: Path, tmp_path: Path, score: Score) -> None:
    predict(tmp_path / "elsewhere", "run1", dict.fromkeys(range(6), 2))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/libby").symlink_to(tmp_path / "elsewhere/run1")
    assert score("davis16", davis, tmp_path / "out")[1]["mean"]["J"]["mean"] == 1


def test_bad_predictions_are_named(davis: Path, tmp_path: Path, score: Score) -> None:
    out = tmp_path / "out"
    good = dict.fromkeys(range(6), 2)
    broken = out / "libby/00002.png"

    def message() -> str:
        text = refusal(score("davis16", davis, out)[0])
        predict(out, "libby", good)
        return text

    predict(out, "libby", good)
    trees.save(broken, np.zeros((12, 16), np.uint8))
    assert "libby/00002.png is 16x12; expected 32x24, the size of its ground truth: save" in message()
    trees.save(broken, trees.palette(trees.square(2) * 1 + trees.square(2, 4) * 1))
    assert "libby/00002.png holds the labels 0, 1, 2: several objects" in message()
    broken.write_bytes(broken.read_bytes()[:60])
    assert "libby/00002.png cannot be used: the file" in message()
    trees.save(broken, np.random.default_rng(0).integers(0, 255, (*trees.SIZE, 3), np.uint8))
    assert "libby/00002.png cannot be used: it is a coloured picture" in message()
    trees.save(out / "libby/00002.jpg", trees.grey(trees.square(0)))
    assert "two predictions of one frame" in message()


def test_predictions_in_another_place_or_named_otherwise(davis: Path, tmp_path: Path, score: Score) -> None:
    out = tmp_path / "out"
    assert "does not exist" in refusal(score("davis16", davis, out)[0])
    out.mkdir()
    assert "found no images; expected libby" in refusal(score("davis16", davis, out)[0])
    predict(out / "480p", "libby", dict.fromkeys(range(6), 2))
    assert f"pass --predictions {out}/480p" in refusal(score("davis16", davis, out)[0])
    shutil.rmtree(out)
    predict(out, "libby", dict.fromkeys(range(6), 2), "frame_{:d}.png")
    assert "holds frame_0.png, but frames of libby are named as 00000" in refusal(score("davis16", davis, out)[0])
