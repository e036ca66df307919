"""Agreement of a depth map with that of a teacher, and with the mask of a salient object."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def spearman(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Return Spearman's rank correlation of two arrays of one shape; ties get their mean rank, constants give NaN."""
    ranks = []
    for values in (a, b):
        _, inverse, counts = np.unique(values.ravel(), return_inverse=True, return_counts=True)
        mean_rank = np.cumsum(counts) - (counts - 1) / 2
        ranks.append(mean_rank[inverse] - (values.size + 1) / 2)
    norm = float(np.linalg.norm(ranks[0]) * np.linalg.norm(ranks[1]))
    return float(ranks[0] @ ranks[1]) / norm if norm > 0 else float("nan")


def is_object_nearer(inverse_depth: NDArray[np.floating], mask: NDArray[np.bool_]) -> bool:
    """Return whether the mean inverse depth of the object in `mask` (h, w) is above that of the rest."""
    return bool(inverse_depth[mask].mean() > inverse_depth[~mask].mean())
