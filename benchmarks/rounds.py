"""Ratios of two sides that are measured in turns, with the ratio of each round, from which the scatter follows."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TypedDict


class Ratio(TypedDict):
    """How many times as fast as its rival our side is.

    Keys:
        median: median over the rounds.
        all: ratio of each round.
    """

    median: float
    all: list[float]


def ratio_of(ours: Sequence[float], rival: Sequence[float]) -> Ratio:
    """Return how many times the rate of the rival our rate is, round by round.

    Args:
        ours: our rate in each round.
        rival: rate of the rival in the same rounds.
    """
    return summary([own / theirs for own, theirs in zip(ours, rival, strict=True)])


def ratio_of_times(ours: Sequence[float], rival: Sequence[float]) -> Ratio:
    """Return how many times as long as we the rival takes, round by round.

    Args:
        ours: our time in each round.
        rival: time of the rival in the same rounds.
    """
    return ratio_of(rival, ours)


def summary(ratios: Sequence[float]) -> Ratio:
    """Return the median of the ratios of all rounds, and the ratios themselves."""
    return {"median": round(median(ratios), 3), "all": [round(ratio, 3) for ratio in ratios]}
