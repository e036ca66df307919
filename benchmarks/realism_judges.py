"""Classifiers of `benchmarks.realism_classifier`, cross-validated so that no group is on both sides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

STATISTICS = (
    *("magnitude_p10_px", "magnitude_p50_px", "magnitude_p90_px"),
    *("relative_p10", "relative_p50", "relative_p90"),
    *("axis_ratio", "offset_px", "separation", "edge_ratio"),
    *("coherence", "object_share", "auc", "rightward", "downward"),
    *("object_spread", "background_spread"),
)
"""Statistics that the forest judges by: `flowsim.inversion.features` in their order, and the spread of both regions."""
FOLDS = 5
_TREES = 80
_EPOCHS = 10
_BATCH = 32


class Labelled(NamedTuple):
    """Fields of one class.

    Attributes:
        groups: (n,) name of the video or photo of each field.
        areas: (n,) part of the picture that the object covers.
        statistics: (n,17) float64, NaN = not defined.
        colors: (n,32,32,3) uint8, the flow's colours.
    """

    groups: np.ndarray
    areas: np.ndarray
    statistics: np.ndarray
    colors: np.ndarray

    def at(self, chosen: np.ndarray) -> Labelled:
        """Return some of the fields."""
        return Labelled(*(array[chosen] for array in self))


# Learns from (n fields, n labels) and rates further fields; the last argument is a seed.
Judge = Callable[[Labelled, np.ndarray, Labelled, int], np.ndarray]


def cross_validated(real: Labelled, simulated: Labelled, judge: Judge, seed: int) -> float:
    """Return the AUC of a classifier on fields of groups that it has not seen.

    Groups of both classes are dealt to folds at random. The fields of each fold are rated by a classifier that learnt
    from the other folds; the AUC is the mean over folds.

    Args:
        real: fields of the first class.
        simulated: fields of the second class.
        judge: classifier.
        seed: seed of the folds and of the classifier.
    """
    from sklearn.metrics import roc_auc_score

    fold = np.concatenate([folds_of(side.groups, seed) for side in (real, simulated)])
    label = np.repeat([0, 1], [len(real.groups), len(simulated.groups)])
    both = Labelled(*(np.concatenate(arrays) for arrays in zip(real, simulated, strict=True)))
    found = []
    for k in range(FOLDS):
        held_out = fold == k
        rated = judge(both.at(~held_out), label[~held_out], both.at(held_out), seed)
        found.append(roc_auc_score(label[held_out], rated))
    return float(np.mean(found))


def folds_of(groups: np.ndarray, seed: int) -> np.ndarray:
    """Return the fold of each field; all fields of a group are in one fold."""
    names, group = np.unique(groups, return_inverse=True)
    dealt = np.random.default_rng(seed).permutation(np.arange(len(names)) % FOLDS)
    fold: np.ndarray = dealt[group]
    return fold


def forest(known: Labelled, label: np.ndarray, asked: Labelled, seed: int) -> np.ndarray:
    """Rate fields by a random forest on their statistics."""
    rated: np.ndarray = _grown(known.statistics, label, seed).predict_proba(asked.statistics)[:, 1]
    return rated


def forest_importance(real: Labelled, simulated: Labelled, seed: int) -> list[float]:
    """Return the part of each statistic in the decisions of a forest (decrease of Gini impurity); they sum to 1."""
    both = np.concatenate([real.statistics, simulated.statistics])
    label = np.repeat([0, 1], [len(real.groups), len(simulated.groups)])
    return [round(float(part), 3) for part in _grown(both, label, seed).feature_importances_]


def _grown(statistics: np.ndarray, label: np.ndarray, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    trees = RandomForestClassifier(_TREES, min_samples_leaf=2, class_weight="balanced", random_state=seed)
    return trees.fit(statistics, label)


def alone(real: Labelled, simulated: Labelled) -> list[float]:
    """Return for each statistic the probability that it is larger in a simulated field than in a real one."""
    from sklearn.metrics import roc_auc_score

    found = []
    for first, second in zip(real.statistics.T, simulated.statistics.T, strict=True):
        values = first[np.isfinite(first)], second[np.isfinite(second)]
        label = np.repeat([0, 1], [len(some) for some in values])
        found.append(round(float(roc_auc_score(label, np.concatenate(values))), 3))
    return found


def network(known: Labelled, label: np.ndarray, asked: Labelled, seed: int) -> np.ndarray:
    """Rate fields by a small convolutional network on their colours."""
    import torch
    from torch import nn

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for before, after in ((3, 16), (16, 32), (32, 64), (64, 64)):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
        judge = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(64, 1))
        pictures, truth = _pictures(known), torch.from_numpy(label).float()
        weight = (truth == 0).sum() / (truth == 1).sum()
        optimizer = torch.optim.AdamW(judge.parameters(), 2e-3, weight_decay=1e-2)
        for _ in range(_EPOCHS):
            for batch in torch.randperm(len(truth)).split(_BATCH):
                rated_now = judge(pictures[batch])[:, 0]
                loss = nn.functional.binary_cross_entropy_with_logits(rated_now, truth[batch], pos_weight=weight)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        judge.eval()
        with torch.no_grad():
            rated: np.ndarray = judge(_pictures(asked))[:, 0].numpy()
    return rated


def _pictures(fields: Labelled) -> Any:
    import torch

    return torch.from_numpy(fields.colors).permute(0, 3, 1, 2).float() / 255 - 0.5
