"""Baselines without learning: the whole frame as object, and a threshold on the flow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from segmentation.data.photo_samples import Triplet
from segmentation.scoring.metrics import score_frames
from segmentation.training.data_split import ValidationData
from segmentation.training.validation import SampleScore, summarize


def everything(sample: Triplet) -> np.ndarray:
    """Predict the whole frame as object."""
    return np.ones(sample.mask.shape, bool)


def moving(sample: Triplet) -> np.ndarray:
    """Predict as object what moves unlike the median of the border, by Otsu's threshold (1979) on the difference."""
    flow = np.nan_to_num(sample.flow_px.numpy())
    border = np.concatenate([flow[0], flow[-1], flow[:, 0], flow[:, -1]])
    length = np.linalg.norm(flow - np.median(border, axis=0), axis=-1)
    levels = np.rint(255 * length / max(float(length.max()), 1e-6)).astype(np.uint8)
    threshold, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    is_object: np.ndarray = levels > threshold
    return is_object


BASELINES: dict[str, Callable[[Triplet], np.ndarray]] = {"all object": everything, "flow threshold": moving}


def score_baselines(validation: ValidationData) -> dict[str, dict[str, Any]]:
    """Score every baseline on the samples that networks are scored on."""
    scores: dict[str, list[SampleScore]] = {name: [] for name in BASELINES}
    for sequence, sample in validation.read():
        truth = sample.mask.numpy()[None] > 0
        for name, predict in BASELINES.items():
            region, contour = score_frames(predict(sample)[None], truth, with_boundaries=validation.with_boundaries)
            scores[name].append(SampleScore(sequence, float(region[0]), float(contour[0])))
    found = {}
    for name, some in scores.items():
        mean = summarize(some, with_boundaries=validation.with_boundaries)
        found[name] = {mean.measure: mean.value, "J": mean.J, "F": mean.F, "sequences": dict(mean.sequences)}
    return found
