"""J, F and their statistics against slow references, the official scores, and the cases at the edge."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.scoring import bitmaps
from segmentation.scoring.metrics import boundary_accuracy, region_similarity, score_frames, statistics, tolerance_of
from tests.conftest import SHARED
from tests.segmentation import slow_measures

OFFICIAL = json.loads((Path(__file__).parents[1] / "reference/davis16_mtnet_scores.json").read_text())


def blob(seed: int, height: int, width: int) -> np.ndarray:
    """Draw a few overlapping discs and bars, reaching over the edges of the image."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    mask = np.zeros((height, width), bool)
    for _ in range(rng.integers(0, 4)):
        cy, cx, r = rng.integers(-5, height + 5), rng.integers(-5, width + 5), rng.integers(1, max(2, height // 2))
        mask |= (y - cy) ** 2 + (x - cx) ** 2 <= r * r
    if rng.random() < 0.3:
        mask[:, rng.integers(0, width)] ^= True
    return mask


@settings(max_examples=100, deadline=None)
@given(
    seeds=st.tuples(st.integers(0, 10_000), st.integers(0, 10_000)),
    height=st.integers(1, 50),
    width=st.one_of(st.integers(1, 140), st.sampled_from([63, 64, 65, 127, 128, 129])),
    tolerance=st.one_of(st.none(), st.integers(0, 90)),
)
def test_measures_equal_the_slow_reference(
    seeds: tuple[int, int], height: int, width: int, tolerance: int | None
) -> None:
    found, wanted = blob(seeds[0], height, width), blob(seeds[1], height, width)
    assert region_similarity(found[None], wanted[None])[0] == slow_measures.region_similarity(found, wanted)
    expected = slow_measures.boundary_accuracy(found, wanted, tolerance)
    assert boundary_accuracy(found[None], wanted[None], tolerance)[0] == pytest.approx(expected, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), height=st.integers(1, 40), width=st.integers(1, 140), radius=st.integers(0, 80))
def test_dilation_is_by_a_disk(seed: int, height: int, width: int, radius: int) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < 0.01
    dilated = np.ascontiguousarray(bitmaps.dilate(bitmaps.pack(mask[None]), radius)[0])
    unpacked = np.unpackbits(dilated.view(np.uint8), axis=1, bitorder="little")[:, :width].astype(bool)
    y, x = np.mgrid[:height, :width]
    expected = np.zeros_like(mask)
    for cy, cx in np.argwhere(mask):
        expected |= (y - cy) ** 2 + (x - cx) ** 2 <= radius * radius
    assert (unpacked == expected).all()


def test_whole_frames_equal_the_slow_reference() -> None:
    found, wanted = blob(5, 480, 427), np.roll(blob(5, 480, 427), (6, 9), axis=(0, 1))
    region, contour = score_frames(found[None], wanted[None])
    assert region[0] == slow_measures.region_similarity(found, wanted)
    assert contour[0] == pytest.approx(slow_measures.boundary_accuracy(found, wanted), abs=1e-12)
    assert 0 < contour[0] < 1


@pytest.mark.parametrize(
    ("height", "width", "expected"), [(480, 854, 8), (1080, 1920, 18), (1, 1, 1), (2160, 4096, 38)]
)
def test_tolerance_is_a_share_of_the_diagonal_rounded_up(height: int, width: int, expected: int) -> None:
    assert tolerance_of(height, width) == expected


@pytest.mark.parametrize(
    ("found", "wanted", "score"), [("", "", 1), ("", "disc", 0), ("disc", "", 0), ("disc", "disc", 1)]
)
def test_empty_masks(found: str, wanted: str, score: float) -> None:
    disc = np.zeros((30, 40), bool)
    disc[10:20, 10:20] = True
    masks = {"": np.zeros((30, 40), bool), "disc": disc}
    region, contour = score_frames(masks[found][None], masks[wanted][None])
    assert (region[0], contour[0]) == (score, score)


def test_a_mask_of_only_object_has_no_boundary() -> None:
    full, empty = np.ones((1, 30, 40), bool), np.zeros((1, 30, 40), bool)
    region, contour = score_frames(full, empty)
    assert (region[0], contour[0]) == (0, 1)


def test_frames_are_independent() -> None:
    found = np.stack([blob(seed, 40, 70) for seed in range(19)])
    wanted = np.stack([blob(seed + 100, 40, 70) for seed in range(19)])
    together = score_frames(found, wanted)
    for frame in range(19):
        alone = score_frames(found[frame : frame + 1], wanted[frame : frame + 1])
        assert (together[0][frame], together[1][frame]) == (alone[0][0], alone[1][0])


@settings(max_examples=80, deadline=None)
@given(values=st.lists(st.floats(0, 1), min_size=1, max_size=256))
def test_statistics_are_the_published_ones_up_to_256_frames(values: list[float]) -> None:
    scores = np.array(values)
    found = statistics(scores)
    assert found.mean == pytest.approx(scores.mean())
    assert found.recall == pytest.approx((scores > 0.5).mean())
    assert found.decay == pytest.approx(slow_measures.published_decay(scores), abs=1e-12)


@pytest.mark.parametrize("frames", [257, 300, 400, 2000])
def test_decay_of_long_sequences_is_right_where_published_toolkits_are_wrong(frames: int) -> None:
    falling = np.linspace(1, 0, frames)
    # The first quarter has mean 7/8, the last 1/8.
    assert statistics(falling).decay == pytest.approx(0.75, abs=0.01)
    assert statistics(falling).decay == pytest.approx(slow_measures.published_decay(falling, np.int64))
    assert slow_measures.published_decay(falling) != pytest.approx(0.75, abs=0.1)


def test_statistics_of_one_frame_and_of_none() -> None:
    one = statistics(np.array([0.7]))
    assert (one.mean, one.recall, one.decay) == (0.7, 1.0, 0.0)
    none = statistics(np.array([]))
    assert all(math.isnan(value) for value in (none.mean, none.recall, none.decay))


def test_a_frame_of_exactly_a_half_is_not_found() -> None:
    assert statistics(np.array([0.5, 0.5, 0.75, 0.25])).recall == 0.25


def test_unknown_frames_count_as_not_found_and_do_not_change_the_mean() -> None:
    found = statistics(np.array([0.9, np.nan, 0.9, 0.7]))
    assert found.mean == pytest.approx(2.5 / 3)
    assert found.recall == pytest.approx(0.75)


@pytest.mark.shared
@pytest.mark.parametrize("sequence", [name for name in OFFICIAL if not name.startswith("mean")])
def test_official_scores_of_davis(sequence: str) -> None:
    from PIL import Image

    truth_files = sorted((SHARED / "data/DAVIS/Annotations/480p" / sequence).glob("*.png"))[1:-1]
    predictions = SHARED / "data/MTNet-DAVIS16-predictions" / sequence
    truth = np.stack([np.asarray(Image.open(path).convert("L")) >= 128 for path in truth_files])
    found = np.stack([np.asarray(Image.open(predictions / path.name)) >= 128 for path in truth_files])
    for measure, values in zip("JF", score_frames(found, truth), strict=True):
        for statistic, value in OFFICIAL[sequence][measure].items():
            assert getattr(statistics(values), statistic) == pytest.approx(value, abs=1e-6), (measure, statistic)
