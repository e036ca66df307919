"""Statistics of flow fields, by which simulated and real flow are compared."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float

from flowsim.errors import FlowsimError

ANGLE_BINS = 36
# Ratios without an upper bound are compared by their logarithms, so that twice and half are equally far from one.
_COMPARED_AS_LOG = ("axis_ratio", "separation", "edge_ratio")


@dataclass(frozen=True, eq=False)
class FlowStatistics:
    """Statistics of one flow field f = (u, v) with its object mask. NaN = not defined (no object or no motion).

    Attributes:
        magnitude_p10_px: 10 % quantile of |f|, px.
        magnitude_p50_px: median of |f|, px.
        magnitude_p90_px: 90 % quantile of |f|, px.
        relative_p10: 10 % quantile of |f| / max |f|, in [0,1].
        relative_p50: median of |f| / max |f|.
        relative_p90: 90 % quantile of |f| / max |f|.
        axis_ratio: mean |u| / mean |v|; above 1 if the motion is more horizontal than vertical.
        coherence: |mean f| / mean |f|, in [0,1]; 1 = all pixels move alike.
        offset_px: |mean f of the object - mean f of the background|, px.
        separation: offset / spread, with spread = sqrt(mean |f - mean f of its own region|^2).
        object_share: a / (a + b) with a, b = mean |f| of object and background; above 0.5 if the object moves more.
        edge_ratio: mean |f(p) - f(q)| over neighbours p, q (4-neighbourhood) on different sides of the mask's edge,
            divided by that of neighbours on the same side.
        auc: probability that |f - median background f| is greater at an object pixel than at a background pixel; ties
            count half.
        angles: (36,) histogram of the direction atan2(v, u) in bins of 10 degrees from -180, weighted by |f|; sums to
            1.
    """

    magnitude_p10_px: float
    magnitude_p50_px: float
    magnitude_p90_px: float
    relative_p10: float
    relative_p50: float
    relative_p90: float
    axis_ratio: float
    coherence: float
    offset_px: float
    separation: float
    object_share: float
    edge_ratio: float
    auc: float
    angles: Float[np.ndarray, " bins"]


def measure_flow(flow: np.ndarray, mask: np.ndarray, valid: np.ndarray | None = None) -> FlowStatistics:
    """Measure a flow field.

    Args:
        flow: (h,w,2) float, px.
        mask: (h,w) bool, the object.
        valid: (h,w) bool, None = all; other pixels are left out of all statistics.

    Returns:
        The statistics; their formulas stand with `FlowStatistics`.

    Raises:
        FlowsimError: wrong shape or type, or valid flow that is not finite.
    """
    known = np.ones(flow.shape[:-1], np.bool_) if valid is None else valid
    if flow.ndim != 3 or flow.shape[-1] != 2 or flow.size == 0 or flow.dtype.kind != "f":
        raise FlowsimError(f"flow is {flow.dtype} of shape {flow.shape}, expected float (h,w,2), not empty")
    for name, array in (("mask", mask), ("valid", known)):
        if array.dtype != np.bool_ or array.shape != flow.shape[:-1]:
            raise FlowsimError(f"{name} is {array.dtype} of shape {array.shape}, expected bool {flow.shape[:-1]}")
    f = flow.astype(np.float64)
    if not known.any() or not np.isfinite(f[known]).all():
        raise FlowsimError(f"flow of shape {flow.shape} has no valid pixel, or is not finite where valid; pass `valid`")
    vectors = f[known]
    magnitude = np.hypot(vectors[:, 0], vectors[:, 1])
    longest = float(magnitude.max())
    p10, p50, p90 = (float(q) for q in np.quantile(magnitude, (0.1, 0.5, 0.9)))
    offset_px, separation, object_share, auc = _object_statistics(vectors, magnitude, mask[known])
    return FlowStatistics(
        magnitude_p10_px=p10,
        magnitude_p50_px=p50,
        magnitude_p90_px=p90,
        relative_p10=_ratio(p10, longest),
        relative_p50=_ratio(p50, longest),
        relative_p90=_ratio(p90, longest),
        axis_ratio=_ratio(np.abs(vectors[:, 0]).mean(), np.abs(vectors[:, 1]).mean()),
        coherence=_ratio(math.hypot(*vectors.mean(0)), magnitude.mean()),
        offset_px=offset_px,
        separation=separation,
        object_share=object_share,
        edge_ratio=_edge_ratio(f, mask, known),
        auc=auc,
        angles=_angles(vectors, magnitude),
    )


def distance(real: Sequence[FlowStatistics], simulated: Sequence[FlowStatistics]) -> dict[str, float]:
    """Compare two collections of flow fields, statistic by statistic.

    Args:
        real: statistics of the first collection.
        simulated: statistics of the second collection.

    Returns:
        For each statistic the Wasserstein-1 distance between its two distributions, in the unit of the statistic or,
        for unbounded ratios, of their logarithms. For `angles` the Jensen-Shannon divergence of the two mean histograms
        in bits, in [0,1]. NaN if a statistic is defined for no field of one of the collections.

    Raises:
        FlowsimError: a collection is empty.
    """
    if not real or not simulated:
        raise FlowsimError(f"{len(real)} real and {len(simulated)} simulated fields: give at least one of each")
    found = {}
    for item in fields(FlowStatistics):
        if item.name == "angles":
            continue
        values = [np.array([getattr(field, item.name) for field in group]) for group in (real, simulated)]
        if item.name in _COMPARED_AS_LOG:
            values = [np.log(group[group > 0]) for group in values]
        found[item.name] = _wasserstein(*(group[np.isfinite(group)] for group in values))
    found["angles"] = _jensen_shannon(*(_mean_angles(group) for group in (real, simulated)))
    return found


def _ratio(numerator: float, denominator: float) -> float:
    """Return a quotient, or NaN if the denominator is not positive."""
    return float(numerator / denominator) if denominator > 0 else math.nan


def _object_statistics(vectors: np.ndarray, magnitude: np.ndarray, is_object: np.ndarray) -> tuple[float, ...]:
    """Return offset_px, separation, object_share and auc; NaN if object or background has no pixel."""
    if is_object.all() or not is_object.any():
        return (math.nan,) * 4
    means = [vectors[region].mean(0) for region in (is_object, ~is_object)]
    offset = math.hypot(*(means[0] - means[1]))
    residual = vectors - np.where(is_object[:, None], means[0], means[1])
    spread = math.sqrt((residual**2).sum(1).mean())
    object_magnitude, background_magnitude = (magnitude[region].mean() for region in (is_object, ~is_object))
    contrast = vectors - np.median(vectors[~is_object], axis=0)
    auc = _auc(np.hypot(contrast[:, 0], contrast[:, 1]), is_object)
    share = _ratio(object_magnitude, object_magnitude + background_magnitude)
    return offset, _ratio(offset, spread), share, auc


def _auc(score: np.ndarray, positive: np.ndarray) -> float:
    """Return the area under the ROC curve by ranks (Mann-Whitney U); ties get their mean rank."""
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - 0.5 * (counts - 1)
    positives = int(positive.sum())
    rank_sum = mean_rank[place][positive].sum()
    return float((rank_sum - positives * (positives + 1) / 2) / (positives * (positive.size - positives)))


def _edge_ratio(flow: np.ndarray, mask: np.ndarray, known: np.ndarray) -> float:
    """Return the mean difference of neighbours across the mask's edge over that of neighbours elsewhere."""
    across, along = [], []
    for axis in (0, 1):
        ahead = [slice(None), slice(None)]
        behind = [slice(None), slice(None)]
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        p, q = tuple(ahead), tuple(behind)
        both = known[p] & known[q]
        difference = np.hypot(*np.moveaxis(flow[p] - flow[q], -1, 0))
        is_edge = mask[p] != mask[q]
        across.append(difference[both & is_edge])
        along.append(difference[both & ~is_edge])
    edge, elsewhere = np.concatenate(across), np.concatenate(along)
    return _ratio(edge.mean(), elsewhere.mean()) if edge.size and elsewhere.size else math.nan


def _angles(vectors: np.ndarray, magnitude: np.ndarray) -> np.ndarray:
    """Return the histogram of directions, weighted by length."""
    angle = np.arctan2(vectors[:, 1], vectors[:, 0])
    histogram, _ = np.histogram(angle, ANGLE_BINS, (-math.pi, math.pi), weights=magnitude)
    total = histogram.sum()
    return histogram / total if total > 0 else np.full(ANGLE_BINS, math.nan)


def _mean_angles(group: Sequence[FlowStatistics]) -> np.ndarray:
    """Return the mean histogram of directions of the fields that move."""
    moving = [field.angles for field in group if np.isfinite(field.angles).all()]
    return np.mean(moving, 0) if moving else np.full(ANGLE_BINS, math.nan)


def _wasserstein(first: np.ndarray, second: np.ndarray) -> float:
    """Return W1, the integral of |F - G| over the real line, where F and G are the empirical distribution functions."""
    if not first.size or not second.size:
        return math.nan
    steps = np.sort(np.concatenate([first, second]))
    levels = [np.searchsorted(np.sort(group), steps[:-1], side="right") / group.size for group in (first, second)]
    return float((np.abs(levels[0] - levels[1]) * np.diff(steps)).sum())


def _jensen_shannon(p: np.ndarray, q: np.ndarray) -> float:
    """Return the divergence JS = H((p+q)/2) - (H(p) + H(q)) / 2 with the entropy H in bits."""

    def entropy(histogram: np.ndarray) -> float:
        used = histogram[histogram > 0]
        return float(-(used * np.log2(used)).sum())

    if np.isnan(p).any() or np.isnan(q).any():
        return math.nan
    return max(0.0, entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2)
