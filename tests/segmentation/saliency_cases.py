"""Soft masks, drawn without random numbers, whose scores by PySODMetrics are kept in reference/saliency.json."""

from __future__ import annotations

import numpy as np

CASES = ("soft", "binary", "flat", "no object", "only object", "object at the edge", "dark")


def draw(case: str, frames: int = 3, height: int = 45, width: int = 61) -> tuple[np.ndarray, np.ndarray]:
    """Return predictions (t, h, w) uint8 and truth (t, h, w) bool."""
    y, x = np.mgrid[:height, :width]
    predictions, truths = [], []
    for frame in range(frames):
        centre_x = 20 + 5 * frame if case != "object at the edge" else 0
        distance = np.hypot(y - 22, x - centre_x)
        truth = distance < 11
        ripple = 25 * np.sin(x * 0.9 + frame) * np.cos(y * 0.7)
        soft = np.clip(255 / (1 + np.exp((np.hypot(y - 24, x - centre_x - 3) - 10) / 2)) + ripple, 0, 255)
        prediction = soft.astype(np.uint8)
        if case == "binary":
            prediction = np.where(prediction >= 128, 255, 0).astype(np.uint8)
        elif case == "flat":
            prediction = np.full_like(prediction, 77)
        elif case == "dark":
            prediction = prediction // 9 + 3
        elif case in ("no object", "only object"):
            truth = np.full_like(truth, case == "only object")
        predictions.append(prediction)
        truths.append(truth)
    return np.stack(predictions), np.stack(truths)
