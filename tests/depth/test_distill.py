"""Distillation: targets, measures of agreement, and a small training from photos to a model folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from depth import DepthEstimator
from depth.distill.agreement import is_object_nearer, spearman
from depth.distill.targets import LIFT_MARGIN, lift_object, normalize_inverse_depth
from depth.distill.training import distillation_loss
from depth.tiny import TinyDPT
from tests.conftest import ROOT, draw_scene, write_png


@given(st.lists(st.integers(0, 5), min_size=3, max_size=40), st.integers(0, 2**31))
def test_spearman_is_scipys_also_with_ties(values: list[int], seed: int) -> None:
    other = np.random.default_rng(seed).integers(0, 4, len(values))
    ours = spearman(np.array(values, float), other.astype(float))
    if len(set(values)) == 1 or len(set(other.tolist())) == 1:
        assert np.isnan(ours)
    else:
        assert ours == pytest.approx(scipy.stats.spearmanr(values, other).statistic)


def test_depth_in_metres_is_turned_round() -> None:
    metres = np.linspace(1, 10, 400, dtype=np.float32).reshape(20, 20)
    inverse = normalize_inverse_depth(metres, "depth")
    assert inverse[0, 0] == 1
    assert inverse[-1, -1] == 0
    assert (np.diff(inverse.ravel()) <= 0).all()
    assert (np.diff(normalize_inverse_depth(metres, "inverse-depth").ravel()) >= 0).all()


def test_constant_map_has_no_depth() -> None:
    assert not normalize_inverse_depth(np.full((8, 8), 3, np.float32), "depth").any()


def test_lifted_object_is_nearer_and_ends_at_its_outline() -> None:
    _, mask = draw_scene(3)
    soft = cv2.GaussianBlur(np.where(mask > 0, 0.2, 0.5).astype(np.float32), (0, 0), 6)
    lifted = lift_object(soft, mask.astype(np.float32) / 255)
    inside = mask > 0
    assert not is_object_nearer(soft, inside)
    assert lifted[inside].mean() - lifted[~inside].mean() == pytest.approx(LIFT_MARGIN, abs=0.02)
    row = mask.any(1).nonzero()[0].mean().astype(int)
    steps = np.abs(np.diff(lifted[row]))
    edges = np.abs(np.diff(inside[row].astype(int))) > 0
    assert steps[edges].min() > 3 * steps[~edges].max()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_empty_and_full_masks_change_nothing(value: float) -> None:
    depth = np.random.default_rng(0).random((10, 10), np.float32)
    assert lift_object(depth, np.full((10, 10), value, np.float32)) is depth


def test_loss_is_least_at_the_target_and_wants_the_object_near() -> None:
    mask = torch.zeros(2, 16, 16)
    mask[:, 4:12, 4:12] = 1
    target = torch.rand(2, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.3 + 0.5 * mask
    at_target = distillation_loss(target, target, mask)
    assert at_target < 1e-4
    assert distillation_loss(target + 0.1, target, mask) > at_target
    assert distillation_loss(1 - target, target, mask) > 1


def test_saved_model_answers_as_before(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = TinyDPT(width=16).eval()
    model.save(tmp_path, short_side=64)
    photo = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        expected, found = model(photo), TinyDPT.load(tmp_path)(photo)
    assert found.shape == (1, 32, 48)
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02)  # weights are stored in float16


def test_command_trains_resumes_and_gives_a_model_folder(tmp_path: Path) -> None:
    for index in range(8):
        photo, mask = draw_scene(index)
        write_png(tmp_path / "photos" / f"{index}.png", photo)
        write_png(tmp_path / "masks" / f"{index}.png", mask)
        write_png(tmp_path / "depth" / f"{index}.png", np.where(mask > 0, 200, photo[..., 0] // 2).astype(np.uint8))
    command = [sys.executable, "-m", "depth.distill", "--photos", "photos", "--masks", "masks"]
    command += ["--teacher-depth", "depth", "--output", "student", "--hold-out", "2", "--width", "16", "--batch", "2"]
    command += ["--encoder", "mobilenetv3_small_050", "--loaders", "0"]

    def distill(stages: str, *more: str) -> None:
        environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
        whole = [*command, "--stages", stages, *more]
        subprocess.run(whole, cwd=tmp_path, env=environment, check=True, capture_output=True)

    distill("32x1")
    distill("32x1,32-64x1")
    distill("32x1", "--output", "child", "--start-from", "student", "--learning-rate", "0")
    parent, child = (TinyDPT.load(tmp_path / name).state_dict() for name in ("student", "child"))
    torch.testing.assert_close(child["head.0.weight"], parent["head.0.weight"])
    log = [json.loads(line) for line in (tmp_path / "student/log.jsonl").read_text().splitlines()]
    assert [(row["epoch"], row["side"], row["photos"]) for row in log] == [(1, 32, 2.0), (2, 64, 2.0)]
    photo, _ = draw_scene(20)
    (depth,) = DepthEstimator.load(str(tmp_path / "student"))([photo])
    assert depth.shape == photo.shape[:2]
    assert depth.max() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("stages", ["64", "50x1", "64-70x1"])
def test_stages_that_cannot_be_read_are_refused(stages: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "depth.distill", "--photos", str(tmp_path), "--output", str(tmp_path)]
    done = subprocess.run([*command, "--stages", stages], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "sides that are multiples of 32" in done.stderr


def test_photos_without_teacher_depth_are_refused(tmp_path: Path) -> None:
    write_png(tmp_path / "photos/a.png", draw_scene(0)[0])
    (tmp_path / "depth").mkdir()
    command = [sys.executable, "-m", "depth.distill", "--photos", str(tmp_path / "photos"), "--output", str(tmp_path)]
    done = subprocess.run(
        [*command, "--teacher-depth", str(tmp_path / "depth")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "no photo has a teacher depth" in done.stderr
