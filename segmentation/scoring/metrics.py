"""Region similarity J and boundary accuracy F of video object segmentation, and their statistics over a sequence.

Definitions: Perazzi et al., A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation, CVPR 2016,
section 5, as its published evaluation computes them. A protocol decides which frames count, see `protocols`.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from segmentation.scoring import bitmaps

TOLERANCE = 0.008  # largest distance of matching boundaries, relative to the diagonal
RECALL_LEVEL = 0.5  # a frame above it counts as found
_BINS = 4
_TOGETHER = 4  # frames that share calls and still fit the cache


@dataclass(frozen=True, slots=True)
class Statistics:
    """Statistics of a measure over the frames of a sequence.

    Attributes:
        mean: mean over the frames.
        recall: share of frames above 0.5.
        decay: mean of the first quarter of the frames minus mean of the last quarter; positive = it gets worse.
    """

    mean: float
    recall: float
    decay: float


def region_similarity(
    prediction: Bool[np.ndarray, "t h w"], truth: Bool[np.ndarray, "t h w"]
) -> Float64[np.ndarray, " t"]:
    """Return J of every frame: intersection over union, 1 where both masks are empty.

    Args:
        prediction: (t, h, w) bool, True = object.
        truth: (t, h, w) bool, True = object.

    Returns:
        (t,) float64 in [0, 1].
    """
    return score_frames(prediction, truth, with_boundaries=False)[0]


def boundary_accuracy(
    prediction: Bool[np.ndarray, "t h w"], truth: Bool[np.ndarray, "t h w"], tolerance_px: int | None = None
) -> Float64[np.ndarray, " t"]:
    """Return F of every frame: the harmonic mean of precision and recall of its boundary pixels.

    A boundary pixel counts if a boundary pixel of the other mask lies within the tolerance. F is 1 if neither mask has
    a boundary, and 0 if only one of them has.

    Args:
        prediction: (t, h, w) bool, True = object.
        truth: (t, h, w) bool, True = object.
        tolerance_px: radius of the disk; None = `tolerance_px` of the frame's size.

    Returns:
        (t,) float64 in [0, 1].
    """
    return score_frames(prediction, truth, tolerance_px=tolerance_px)[1]


def score_frames(
    prediction: Bool[np.ndarray, "t h w"],
    truth: Bool[np.ndarray, "t h w"],
    *,
    with_boundaries: bool = True,
    tolerance_px: int | None = None,
) -> tuple[Float64[np.ndarray, " t"], Float64[np.ndarray, " t"]]:
    """Return J and F of every frame, computed together, which is faster than one after the other.

    Args:
        prediction: (t, h, w) bool, True = object.
        truth: (t, h, w) bool, True = object.
        with_boundaries: whether to compute F; otherwise it is NaN.
        tolerance_px: radius of the disk, as for `boundary_accuracy`.

    Returns:
        J and F, each (t,) float64 in [0, 1].
    """
    frames, height, width = truth.shape
    radius = tolerance_of(height, width) if tolerance_px is None else tolerance_px
    region, contour = np.empty(frames), np.full(frames, np.nan)
    for start in range(0, frames, _TOGETHER):
        some = slice(start, start + _TOGETHER)
        number = len(truth[some])
        both = np.concatenate([bitmaps.pack(prediction[some]), bitmaps.pack(truth[some])])
        # All objects and boundaries lie in this part; a row and a word more keep its edges free of objects.
        rows, words = bitmaps.bounding_part(both)
        both = np.ascontiguousarray(both[:, rows, words])
        region[some] = _region_j(both[:number], both[number:])
        if with_boundaries:
            outlines = bitmaps.boundary(both, width - words.start * bitmaps.WORD)
            contour[some] = _boundary_f(outlines[:number], outlines[number:], radius)
    return region, contour


def tolerance_of(height: int, width: int) -> int:
    """Return the largest distance of matching boundaries in px: 0.8 % of the diagonal, rounded up."""
    return math.ceil(TOLERANCE * float(np.linalg.norm((height, width))))


def statistics(per_frame: Float64[np.ndarray, " t"]) -> Statistics:
    """Return mean, recall and decay of a measure over a sequence.

    NaN frames are left out of mean and decay, and count as not found in recall, as in the published evaluation. The
    published evaluation counts frames in 8 bits, so that its decay is wrong beyond 256 frames; this one does not.

    Args:
        per_frame: (t,) in [0, 1] or NaN, in the order of time.

    Returns:
        NaN in all three where there is no frame.
    """
    if not len(per_frame):
        return Statistics(math.nan, math.nan, math.nan)
    # Bin edges lie at the rounded quarters of 1..t (halves up); neighbouring bins share the frame at their edge.
    edges = np.floor(np.linspace(1, len(per_frame), _BINS + 1) + 0.5 + 1e-10).astype(np.int64) - 1
    first, last = per_frame[: edges[1] + 1], per_frame[edges[-2] : edges[-1] + 1]
    recall = float(np.mean(per_frame > RECALL_LEVEL))
    return Statistics(_mean_of_known(per_frame), recall, _mean_of_known(first) - _mean_of_known(last))


def _mean_of_known(values: Float64[np.ndarray, " t"]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def _region_j(found: bitmaps.Bitmaps, wanted: bitmaps.Bitmaps) -> Float64[np.ndarray, " t"]:
    union = bitmaps.count(found | wanted)
    common = bitmaps.count(found & wanted)
    return np.where(union > 0, common / np.maximum(union, 1), 1.0)


def _boundary_f(found: bitmaps.Bitmaps, wanted: bitmaps.Bitmaps, radius: int) -> Float64[np.ndarray, " t"]:
    number = len(found)
    near = bitmaps.dilate(np.concatenate([found, wanted]), radius)
    in_found, in_wanted = bitmaps.count(found), bitmaps.count(wanted)
    precision = bitmaps.count(found & near[number:]) / np.maximum(in_found, 1)
    recall = bitmaps.count(wanted & near[:number]) / np.maximum(in_wanted, 1)
    total = precision + recall
    f = 2 * precision * recall / np.where(total > 0, total, 1)
    return np.where((in_found == 0) & (in_wanted == 0), 1.0, f)
