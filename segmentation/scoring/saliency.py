"""Measures of video salient object detection for soft masks: MAE, F-beta, S-measure and E-measure.

All four follow from the histograms of levels inside and outside the object, in each of four parts of the frame, so that
one pass over the pixels serves all measures. The levels of each frame are first stretched to 0..255, as in the
published evaluations, whose values these functions reproduce.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8

LEVELS = 256
BETA_SQUARED = 0.3
_EPSILON = np.spacing(1)

# Counts of pixels: part of the frame (upper left, upper right, lower left, lower right), outside or inside, level.
_Histogram = Int64[np.ndarray, "4 2 256"]


@dataclass(frozen=True)
class Saliency:
    """Measures of frames; curves are over the thresholds from 255 to 0 (object = level >= threshold).

    Attributes:
        mae: (t,) mean absolute error in [0, 1] (Perazzi et al., CVPR 2012).
        s: (t,) structure measure (Fan et al., ICCV 2017).
        f: (t, 256) F-beta with beta^2 = 0.3 (Achanta et al., CVPR 2009).
        e: (t, 256) enhanced-alignment measure (Fan et al., IJCAI 2018).
    """

    mae: Float64[np.ndarray, " t"]
    s: Float64[np.ndarray, " t"]
    f: Float64[np.ndarray, "t 256"]
    e: Float64[np.ndarray, "t 256"]

    def mean(self) -> "Saliency":
        """Average over frames, curve by curve; t becomes 1."""
        return Saliency(*(values.mean(axis=0, keepdims=True) for values in (self.mae, self.s, self.f, self.e)))

    def summary(self) -> dict[str, float]:
        """Return MAE and S-measure, and the largest value of the mean curves of F-beta and E-measure."""
        mean = self.mean()
        return {
            "MAE": float(mean.mae[0]),
            "max F-beta": float(mean.f.max()),
            "S-measure": float(mean.s[0]),
            "max E-measure": float(mean.e.max()),
        }


def join(parts: list[Saliency]) -> Saliency:
    """Concatenate the frames of several results."""
    return Saliency(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("mae", "s", "f", "e")))


def score_saliency(prediction: UInt8[np.ndarray, "t h w"], truth: Bool[np.ndarray, "t h w"]) -> Saliency:
    """Compare soft masks with the ground truth.

    Args:
        prediction: (t, h, w) uint8 levels, 255 = surely object.
        truth: (t, h, w) bool, True = object.
    """
    histograms = [_histogram(*pair) for pair in zip(prediction, truth, strict=True)]
    stretched = [_stretched(histogram) for histogram in histograms]
    return Saliency(
        np.array([_mae(h, x) for h, x in zip(histograms, stretched, strict=True)]),
        np.array([_structure(h, x) for h, x in zip(histograms, stretched, strict=True)]),
        np.array([_f_curve(h, x) for h, x in zip(histograms, stretched, strict=True)]).reshape(-1, LEVELS),
        np.array([_e_curve(h, x) for h, x in zip(histograms, stretched, strict=True)]).reshape(-1, LEVELS),
    )


def _histogram(levels: UInt8[np.ndarray, "h w"], truth: Bool[np.ndarray, "h w"]) -> _Histogram:
    """Count levels in the four parts into which the object's centre of mass divides the frame."""
    rows, columns = truth.sum(axis=1), truth.sum(axis=0)
    height, width = truth.shape
    if rows.any():
        centre = (rows @ np.arange(height) / rows.sum(), columns @ np.arange(width) / columns.sum())
    else:
        centre = (height / 2, width / 2)
    bottom, right = (int(np.round(coordinate)) + 1 for coordinate in centre)
    keys = levels.astype(np.int64)
    keys[truth] += LEVELS
    parts = (keys[:bottom, :right], keys[:bottom, right:], keys[bottom:, :right], keys[bottom:, right:])
    return np.stack([np.bincount(part.ravel(), minlength=2 * LEVELS).reshape(2, LEVELS) for part in parts])


def _stretched(histogram: _Histogram) -> Float64[np.ndarray, " 256"]:
    """Return the value of each level after stretching the darkest used level to 0 and the brightest to 1."""
    shares = np.arange(LEVELS) / 255
    used = shares[np.flatnonzero(histogram.sum(axis=(0, 1)))]
    if used[0] == used[-1]:
        return shares
    stretched: Float64[np.ndarray, " 256"] = np.clip((shares - used[0]) / (used[-1] - used[0]), 0, 1)
    return stretched


def _mae(histogram: _Histogram, x: Float64[np.ndarray, " 256"]) -> float:
    outside, inside = histogram.sum(axis=0)
    return float((outside @ x + inside @ (1 - x)) / histogram.sum())


def _above_thresholds(
    histogram: _Histogram, x: Float64[np.ndarray, " 256"]
) -> tuple[Int64[np.ndarray, " 256"], Int64[np.ndarray, " 256"]]:
    """Count pixels outside and inside the object at or above each threshold, from 255 down to 0."""
    steps = (x * 255).astype(np.int64)
    outside, inside = (
        np.cumsum(np.bincount(steps, weights=counts, minlength=LEVELS)[::-1]).round().astype(np.int64)
        for counts in histogram.sum(axis=0)
    )
    return outside, inside


def _f_curve(histogram: _Histogram, x: Float64[np.ndarray, " 256"]) -> Float64[np.ndarray, " 256"]:
    # F = (1 + b2) P R / (b2 P + R), 0 where nothing of the object is found
    false, true = _above_thresholds(histogram, x)
    precision = true / np.maximum(true + false, 1)
    recall = true / max(int(true[-1]), 1)
    product = (1 + BETA_SQUARED) * precision * recall
    curve: Float64[np.ndarray, " 256"] = product / np.where(product == 0, 1, BETA_SQUARED * precision + recall)
    return curve


def _e_curve(histogram: _Histogram, x: Float64[np.ndarray, " 256"]) -> Float64[np.ndarray, " 256"]:
    # a = prediction - its mean, b = truth - its mean; E = sum over n pixels of (1 + 2ab / (a^2 + b^2))^2 / 4 / (n - 1)
    false, true = _above_thresholds(histogram, x)
    size, object_size = int(histogram.sum()), int(true[-1])
    predicted = false + true
    if object_size == 0:
        total: Float64[np.ndarray, " 256"] = (size - predicted).astype(np.float64)
    elif object_size == size:
        total = predicted.astype(np.float64)
    else:
        total = np.zeros(LEVELS)
        predicted_mean, truth_mean = predicted / size, object_size / size
        for is_predicted, is_object, count in (
            (1, 1, true),
            (1, 0, false),
            (0, 1, object_size - true),
            (0, 0, size - object_size - false),
        ):
            a, b = is_predicted - predicted_mean, is_object - truth_mean
            total += count * (1 + 2 * a * b / (a**2 + b**2 + _EPSILON)) ** 2 / 4
    total /= size - 1 + _EPSILON
    return total


def _structure(histogram: _Histogram, x: Float64[np.ndarray, " 256"]) -> float:
    # S = (S_object + S_region) / 2
    size, object_size = int(histogram.sum()), int(histogram[:, 1].sum())
    if object_size in (0, size):
        mean = float(histogram.sum(axis=(0, 1)) @ x / size)
        return mean if object_size else 1 - mean
    outside, inside = histogram.sum(axis=0)
    share = object_size / size
    of_objects = share * _object_similarity(inside, x) + (1 - share) * _object_similarity(outside, 1 - x)
    of_regions = sum(float(part.sum()) / size * _region_similarity(part, x) for part in histogram if part.any())
    return max(0.0, (of_objects + of_regions) / 2)


def _object_similarity(counts: Int64[np.ndarray, " 256"], x: Float64[np.ndarray, " 256"]) -> float:
    # 2 mean / (mean^2 + 1 + deviation)
    size = int(counts.sum())
    mean = float(counts @ x / size)
    deviation = float(np.sqrt(counts @ (x - mean) ** 2 / (size - 1))) if size > 1 else 0.0
    return float(2 * mean / (mean**2 + 1 + deviation + _EPSILON))


def _region_similarity(counts: Int64[np.ndarray, "2 256"], x: Float64[np.ndarray, " 256"]) -> float:
    # Structural similarity without constants: 4 x y cov / ((x^2 + y^2) (var x + var y))
    size = int(counts.sum())
    x_mean, y_mean = float(counts.sum(axis=0) @ x / size), float(counts[1].sum() / size)
    around = x - x_mean
    x_variance = float(counts.sum(axis=0) @ around**2)
    y_variance = size * y_mean * (1 - y_mean)
    covariance = float(counts[1] @ around * (1 - y_mean) - counts[0] @ around * y_mean)
    norm = size - 1 + _EPSILON
    above = 4 * x_mean * y_mean * covariance / norm
    below = (x_mean**2 + y_mean**2) * (x_variance + y_variance) / norm
    if above != 0:
        return float(above / (below + _EPSILON))
    return 1.0 if below == 0 else 0.0
