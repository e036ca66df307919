"""Table and figure of the comparison of training data: scores, gains over videos alone, and gains of single changes."""

from __future__ import annotations

from pathlib import Path
from statistics import mean
from typing import Any

import matplotlib
import numpy as np

from benchmarks.ablation_data import ARMS
from benchmarks.paired_gain import paired_gain

BASELINE = "videos"
"""The arm that the others are compared with."""
QUESTIONS = {
    "estimated instead of exact flow": ("davis-estimated", "davis"),
    "the same for pairs with smaller objects": ("davis-small", "davis-small-exact"),
    "smaller objects": ("davis-small", "davis-estimated"),
    "four motions of each photo": ("davis-new", "davis-estimated"),
    "motion of the object, not of the camera alone": ("davis", "parallax"),
    "videos beside photos": ("davis-estimated", "photos"),
}
"""What two arms differ in -> the arm that has it, and the one that does not."""
JUDGED = ("held-out", "val")
"""Sets of sequences that networks are scored on."""


def summary(runs: list[dict[str, Any]], seen: dict[str, float]) -> list[dict[str, Any]]:
    """Return a row for each arm that has runs: mean and spread over seeds, and the gain over videos alone."""
    rows, rivals = [], runs_of(BASELINE, runs)
    for arm in ARMS:
        some = runs_of(arm.name, runs)
        if some:
            row: dict[str, Any] = {"arm": arm.name, "label": arm.label, "seeds": [one["seed"] for one in some]}
            row["threshold_J_on_training_samples"] = seen[arm.name]
            row["training_loss"] = mean(one["training_loss"] for one in some)
            for size in ("as_trained", "larger"):
                row[size] = {}
                for judged in JUDGED:
                    scores = [one[size][judged]["J&F"] for one in some]
                    row[size][judged] = {"mean": mean(scores), "spread": float(np.ptp(scores)), "all": scores}
                    if rivals and arm.name != BASELINE:
                        row[size][judged]["gain"] = gain_of(some, rivals, size, judged)
            rows.append(row)
    return rows


def answers(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what each of `QUESTIONS` gains, seeing 256 px, where both arms have runs."""
    sides = {question: [runs_of(name, runs) for name in arms] for question, arms in QUESTIONS.items()}
    return [
        {"question": question, **{judged: gain_of(some, rivals, "larger", judged) for judged in JUDGED}}
        for question, (some, rivals) in sides.items()
        if some and rivals
    ]


def runs_of(arm: str, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the runs of an arm, by seed."""
    return sorted((one for one in runs if one["arm"] == arm), key=lambda one: int(one["seed"]))


def gain_of(runs: list[dict[str, Any]], rivals: list[dict[str, Any]], size: str, judged: str) -> dict[str, float]:
    """Return the gain of an arm's runs over those of another, with its interval."""
    scores, others = ([one[size][judged]["sequences"] for one in some] for some in (runs, rivals))
    return paired_gain(scores, others)


def draw(rows: list[dict[str, Any]], baselines: dict[str, dict[str, Any]], path: Path) -> None:
    """Draw the scores of every arm and seed, and of the threshold on the flow, one panel for each set of sequences.

    Args:
        rows: rows of `summary`.
        baselines: scores of the baselines on each set of sequences.
        path: PNG file to write.
    """
    matplotlib.use("Agg")
    from matplotlib import pyplot

    titles = {"held-out": "ten held-out train sequences", "val": "val sequences"}
    places = {row["arm"]: len(rows) - number for number, row in enumerate(rows)}
    figure, panels = pyplot.subplots(
        1, 2, figsize=(9.5, 0.5 * len(rows) + 1.6), layout="constrained", sharey=True, squeeze=True
    )
    for axes, (judged, title) in zip(panels, titles.items(), strict=True):
        for row in rows:
            scores, place = [100 * score for score in row["larger"][judged]["all"]], places[row["arm"]]
            color = "tab:gray" if row["arm"] == BASELINE else "tab:orange"
            axes.errorbar(mean(scores), place, xerr=np.std(scores), color=color, fmt="|", capsize=4, linewidth=2)
            axes.plot(scores, [place] * len(scores), "o", color=color, alpha=0.6)
        threshold = 100 * baselines[judged]["flow threshold"]["J&F"]
        line = axes.axvline(threshold, color="tab:gray", linestyle="--", label="threshold on the flow")
        axes.set_xlabel(f"J&F on {title}, %", fontsize=9)
        axes.set_yticks(list(places.values()), [row["label"] for row in rows])
        axes.set_ylim(0.4, len(rows) + 0.6)
        axes.grid(axis="x", alpha=0.3)
    figure.legend(handles=[line], loc="outside upper right", fontsize=9, frameon=False)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
