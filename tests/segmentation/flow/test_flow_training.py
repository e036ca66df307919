"""The benchmark of flow training runs, and its rival's pairs are what their ranges and equations say."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torchvision.models.optical_flow import raft_small

from benchmarks.flow_training import CROP, KINDS, Settings, crop, draw_pair, load_scenes, measure, scenes_by_kind
from benchmarks.record import ROOT
from benchmarks.splat_pairs import Pair, draw_motion, rigid_flow, splat_pair
from flowsim.files import write_flo


def test_a_dry_run_trains_and_scores_both_sides(tmp_path: Path) -> None:
    chairs, weights = tmp_path / "chairs", tmp_path / "raft.pth"
    chairs.mkdir()
    picture = np.random.default_rng(0).integers(0, 255, (128, 136, 3), np.uint8)
    for number in (0, 1):
        cv2.imwrite(str(chairs / f"0000000-img{number}.png"), picture)
    write_flo(chairs / "0000000-gt.flo", np.full((128, 136, 2), (3, 4), np.float32))
    torch.manual_seed(0)
    torch.save(raft_small().state_dict(), weights)
    settings = Settings(
        chairs=chairs, weights=str(weights), photos=2, held_out=1, steps=2, batch_size=1, updates=1, scored_updates=1
    )
    figures = measure(settings)
    assert figures["settings"]["weights"] == "raft.pth"
    assert figures["photos"] == {"trained_on": 2, "held_out": 1}
    epe = figures["epe_px"]
    assert set(epe) == {"zero", "before", "ours", "splat"}
    for side in epe.values():
        assert set(side[0]) == {*KINDS, "chairs"}
        assert all(math.isfinite(value) for score in side[0].values() for value in score.values())
    assert epe["zero"][0]["chairs"] == pytest.approx({"visible": 5.0, "all": 5.0})
    for kind in KINDS:
        assert epe["zero"][0][kind]["all"] == pytest.approx(figures["mean_flow_px"][kind], rel=1e-4)
    assert len({side[0]["davis"]["all"] for side in epe.values()}) == 4  # training changed both networks differently


def test_pairs_of_every_kind_are_warped_back_to_the_photo() -> None:
    scene = load_scenes(ROOT / "examples/DUTS", 1)[0]
    for kind in KINDS:
        pair = draw_pair(kind, scene, 0, 0)
        rows, columns = np.mgrid[: pair.valid.shape[0], : pair.valid.shape[1]].astype(np.float32)
        warped = cv2.remap(pair.second, columns + pair.flow[..., 0], rows + pair.flow[..., 1], cv2.INTER_LINEAR)
        assert pair.visible.mean() > 0.2
        assert not (pair.visible & ~pair.valid).any()
        assert np.median(np.abs(warped.astype(int) - pair.first)[pair.visible]) <= (12 if kind == "splat" else 2)
        again = draw_pair(kind, scene, 0, 0)
        assert all(np.array_equal(one, other) for one, other in zip(pair[:5], again[:5], strict=True))
        assert not np.array_equal(draw_pair(kind, scene, 0, 1).flow, pair.flow)


def test_several_objects_are_taken_from_photos_that_have_them() -> None:
    scene = load_scenes(ROOT / "examples/DUTS", 1)[0]
    two = np.zeros_like(scene.grey_mask)
    two[10:60, 10:60], two[10:60, 100:150] = 255, 255
    other = scene._replace(name="two", grey_mask=two)
    chosen = scenes_by_kind(
        [scene._replace(grey_mask=np.where(two[:, ::-1] & (np.arange(two.shape[1]) < 80), 255, 0)), other]
    )
    assert [one.name for one in chosen["objects"]] == ["two"]
    assert len(chosen["davis"]) == 2


def test_crops_lie_in_the_window_where_it_is_large_enough() -> None:
    height, width = 240, 320
    places = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    known = np.ones((height, width), bool)
    image = np.zeros((height, width, 3), np.uint8)
    for seed in range(20):
        window = (slice(30, 230), slice(200, 320))  # rows have room, columns have not
        part = crop(Pair(image, image, places, known, known, window), np.random.default_rng(seed))
        assert part.valid.shape == CROP
        assert part.flow[0, 0, 1] >= 30
        assert part.flow[-1, -1, 1] < 230
        assert part.flow[0, 0, 0] == width - CROP[1]


def test_motions_of_the_rival_stay_in_their_ranges() -> None:
    drawn = [draw_motion(np.random.default_rng(seed), 0.1, 5.0) for seed in range(300)]
    rotations, translations = (np.array(part) for part in zip(*drawn, strict=True))
    for values, low in ((np.rad2deg(rotations), 5.0), (translations, 0.1)):
        assert np.abs(values).min() >= low
        assert np.abs(values).max() <= 2 * low
        assert np.abs(values).max() > 1.95 * low
        assert 0.4 < (values > 0).mean() < 0.6


def test_flow_of_the_rival_is_that_of_its_camera() -> None:
    depth = np.full((40, 60), 0.245, np.float32)  # Z = 4
    depth[0, 0] = 0.0  # Z = 100, not 200
    flow, distance = rigid_flow(depth, np.zeros(3), np.array([0.2, 0.1, 0.0]))
    assert flow[20, 30] == pytest.approx((0.2 * 0.58 * 60 / 4, 0.1 * 0.58 * 40 / 4), rel=1e-5)
    assert distance[0, 0] == pytest.approx(100)
    turned, _ = rigid_flow(depth, np.array([0.0, 0.1, 0.0]), np.zeros(3))
    assert turned[20, 30] == pytest.approx((0.58 * 60 * math.tan(0.1), 0.0), abs=1e-6)


def test_what_is_nearer_wins_and_hides() -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[10:30, 20:40] = 200
    depth = np.where(image[..., 0] > 0, np.float32(1.0), np.float32(0.02))
    for seed in range(5):
        pair = splat_pair(image, depth, image[..., 0] > 0, np.random.default_rng(seed))
        is_object = image[..., 0] > 0
        targets = np.rint(np.argwhere(is_object)[:, ::-1] + pair.flow[is_object]).astype(int)
        inside = ((targets >= 0) & (targets < (60, 40))).all(1)
        assert (pair.second[targets[inside, 1], targets[inside, 0]] == 200).all()
        occupied = set(map(tuple, targets[inside]))
        background = np.argwhere(~is_object)[:, ::-1]
        goes = np.rint(background + pair.flow[~is_object]).astype(int)
        hidden = [tuple(place) in occupied for place in goes]
        assert not pair.visible[~is_object][hidden].any()
