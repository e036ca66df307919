"""Slow, obvious versions of the measures, written from their definitions pixel by pixel."""

from __future__ import annotations

import math

import numpy as np


def region_similarity(prediction: np.ndarray, truth: np.ndarray) -> float:
    union = np.sum(prediction | truth)
    return float(np.sum(prediction & truth) / union) if union else 1.0


def boundary_pixels(mask: np.ndarray) -> np.ndarray:
    """A pixel is boundary if it differs from its right, lower or lower right neighbour, as far as there are any."""
    height, width = mask.shape
    found = []
    for y in range(height):
        for x in range(width):
            below, right = min(y + 1, height - 1), min(x + 1, width - 1)
            if len({mask[y, x], mask[y, right], mask[below, x], mask[below, right]}) > 1:
                found.append((y, x))
    return np.array(found, int).reshape(-1, 2)


def boundary_accuracy(prediction: np.ndarray, truth: np.ndarray, tolerance_px: int | None = None) -> float:
    if tolerance_px is None:
        tolerance_px = math.ceil(0.008 * math.hypot(*truth.shape))
    found, wanted = boundary_pixels(prediction), boundary_pixels(truth)
    if len(found) == 0 or len(wanted) == 0:
        return 1.0 if len(found) == len(wanted) else 0.0
    squared = ((found[:, None] - wanted[None]) ** 2).sum(axis=2)
    precision = np.mean(squared.min(axis=1) <= tolerance_px**2)
    recall = np.mean(squared.min(axis=0) <= tolerance_px**2)
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def published_decay(values: np.ndarray, counter: type = np.uint8) -> float:
    """Decay as published toolkits compute it: bin edges are kept in 8 bits."""
    edges = (np.round(np.linspace(1, len(values), 5) + 1e-10) - 1).astype(counter)
    first, last = (values[int(edges[i]) : int(edges[i + 1]) + 1] for i in (0, 3))
    return float(first.mean() - last.mean()) if len(first) and len(last) else math.nan
