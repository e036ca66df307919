"""Classifiers between real and simulated flow: no group is on both sides, and what differs is found."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn: pip install '.[benchmarks]'")

from benchmarks import realism_judges
from benchmarks.realism_classifier import COLORS_PX, at_like_size, labelled, spreads
from benchmarks.realism_judges import (
    FOLDS,
    STATISTICS,
    Labelled,
    alone,
    cross_validated,
    folds_of,
    forest,
    forest_importance,
    network,
)


@pytest.fixture(autouse=True)
def small_forest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Grow few trees, which is enough for clear differences."""
    monkeypatch.setattr(realism_judges, "_TREES", 15)


def side(name: str, groups: int, seed: int, shift: float = 0.0, per_group: int = 6) -> Labelled:
    """Return fields of which those of a group have the same statistics; the first statistic is moved by `shift`."""
    random = np.random.default_rng(seed)
    statistics = np.repeat(random.normal(size=(groups, len(STATISTICS))), per_group, 0)
    statistics[:, 0] += shift
    colors = random.integers(0, 128, (groups * per_group, 16, 16, 3)).astype(np.uint8)
    colors[..., 0] += np.uint8(20 * shift)
    names = np.repeat([f"{name}{k}" for k in range(groups)], per_group)
    return Labelled(names, random.uniform(0.02, 0.3, len(names)), statistics, colors)


def test_all_fields_of_a_group_are_in_one_fold() -> None:
    groups = side("video", 23, 0).groups
    fold = folds_of(groups, 5)
    assert {len(set(fold[groups == name])) for name in groups} == {1}
    assert set(np.bincount(fold) // 6) <= {23 // FOLDS, 23 // FOLDS + 1}


def test_a_forest_finds_what_differs_and_does_not_recognise_groups() -> None:
    first = side("a", 15, 0)
    assert cross_validated(first, side("b", 15, 50), forest, 0) < 0.7  # 1 if fields of a video were on both sides
    second = side("b", 15, 1, shift=4.0)
    assert cross_validated(first, second, forest, 0) > 0.97
    importance = forest_importance(first, second, 0)
    assert max(importance) == importance[0] > 0.3
    assert sum(importance) == pytest.approx(1, abs=0.01)


def test_a_network_finds_colours_that_differ() -> None:
    sides = side("a", 10, 0, per_group=2), side("b", 10, 1, shift=6.0, per_group=2)
    assert cross_validated(*sides, network, 0) > 0.9


def test_a_statistic_alone_is_compared_by_rank() -> None:
    first, second = side("a", 2, 0, per_group=2), side("b", 2, 1, per_group=2)
    first.statistics[:, 0] = 1, 2, 3, np.nan
    second.statistics[:, 0] = 2, 4, 4, 4
    assert alone(first, second)[0] == pytest.approx((1.5 + 3 + 3 + 3) / 12, abs=1e-3)


def test_spreads_are_relative_to_the_length_of_the_field() -> None:
    vectors = np.array([[3.0, 4.0], [3.0, -4.0], [5.0, 0.0], [5.0, 0.0]])
    assert spreads(vectors, np.array([True, True, False, False])) == pytest.approx((4 / 5, 0))


def test_a_field_without_object_is_left_out() -> None:
    flow = np.random.default_rng(0).normal(size=(40, 60, 2)).astype(np.float32)
    mask = np.zeros((40, 60), np.bool_)
    there = mask.copy()
    there[10:20, 10:20] = True
    found = labelled([("a", (flow, mask, 60)), ("b", (flow, there, 60))])
    assert found.groups.tolist() == ["b"]
    assert found.areas == pytest.approx(100 / 2400)
    assert found.statistics.shape == (1, len(STATISTICS))
    assert found.colors.shape == (1, COLORS_PX, COLORS_PX, 3)


def test_fields_with_objects_of_like_size_are_compared() -> None:
    first, second = side("a", 15, 0, per_group=2), side("b", 15, 1, shift=4.0, per_group=2)
    first.areas[:], second.areas[:] = 0.1, np.repeat([0.1, 0.5], 15)
    second.statistics[:15, 0] -= 4.0
    found = at_like_size(first, second)
    assert (found["real_fields"], found["fields"]) == (30, 15)
    assert found["auc"] < 0.8  # only larger objects differ
