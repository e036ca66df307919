"""Saliency measures of soft masks at 480p against PySODMetrics: `python -m benchmarks.saliency`.

Needs `pip install pysodmetrics`. Both sides get the same arrays, one frame after the other on one core, and compute
MAE, S-measure and the curves of F-beta and E-measure over 256 thresholds. The rival runs as its users do: one `step`
of four measures per frame, which also gives adaptive values. "without adaptive values" calls its functions for the
compared values alone, on input that is normalised once. Rounds alternate; medians of processor time.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from benchmarks.metrics import draw_davis, files_of
from benchmarks.record import add_options, publish
from benchmarks.rounds import ratio_of_times
from segmentation.scoring.saliency import score_saliency

Values = dict[str, np.ndarray]


def soft_masks(folder: Path, videos: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw soft predictions (t, h, w) uint8 and their truth (t, h, w) bool."""
    draw_davis(folder, videos, frames)
    pairs = files_of(folder / "DAVIS", folder / "predictions")
    truth, prediction = (
        np.stack([np.asarray(Image.open(pair[side]).convert("L")) for pair in pairs]) for side in (0, 1)
    )
    return prediction, truth >= 128


def ours(prediction: np.ndarray, truth: np.ndarray) -> Values:
    """Score by our functions."""
    scores = score_saliency(prediction, truth)
    return {"MAE": scores.mae, "S-measure": scores.s, "F-beta": scores.f, "E-measure": scores.e}


def rival(prediction: np.ndarray, truth: np.ndarray) -> Values:
    """Score by PySODMetrics as its users do."""
    import py_sod_metrics as sod

    mae, s, f, e = sod.MAE(), sod.Smeasure(), sod.Fmeasure(), sod.Emeasure()
    for levels, is_object in zip(prediction, truth, strict=True):
        for measure in (mae, s, f, e):
            measure.step(pred=levels, gt=is_object.astype(np.uint8) * np.uint8(255))
    return {
        "MAE": np.array(mae.maes),
        "S-measure": np.array(s.sms),
        "F-beta": np.array(f.changeable_fms),
        "E-measure": np.array(e.changeable_ems),
    }


def lean_rival(prediction: np.ndarray, truth: np.ndarray) -> Values:
    """Score by the functions of PySODMetrics that the compared values need."""
    import py_sod_metrics as sod
    from py_sod_metrics.utils import validate_and_normalize_input

    mae, s, f, e = sod.MAE(), sod.Smeasure(), sod.Fmeasure(), sod.Emeasure()
    values: dict[str, list[Any]] = {"MAE": [], "S-measure": [], "F-beta": [], "E-measure": []}
    for levels, is_object in zip(prediction, truth, strict=True):
        pred, gt = validate_and_normalize_input(levels, is_object.astype(np.uint8) * np.uint8(255), True)
        e.gt_fg_numel, e.gt_size = np.count_nonzero(gt), gt.size  # as its `step` does
        values["MAE"].append(mae.cal_mae(pred, gt))
        values["S-measure"].append(s.cal_sm(pred, gt))
        values["F-beta"].append(f.cal_pr(pred, gt)[2])
        values["E-measure"].append(e.cal_changeable_em(pred, gt))
    return {name: np.array(some) for name, some in values.items()}


def ms_per_frame(work: Callable[[], Values], frames: int) -> float:
    started = time.process_time()
    work()
    return (time.process_time() - started) / frames * 1e3


def main() -> None:
    """Measure and write benchmarks/results/saliency.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=2)
    parser.add_argument("--frames", type=int, default=12, help="of each video")
    parser.add_argument("--repeats", type=int, default=5)
    add_options(parser)
    given = parser.parse_args()
    if given.quick:
        given.repeats = min(given.repeats, 3)
    warnings.simplefilter("ignore")  # PySODMetrics announces successors of its classes
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        prediction, truth = soft_masks(Path(folder), given.videos, given.frames)
    sides: dict[str, Callable[[np.ndarray, np.ndarray], Values]] = {
        "PySODMetrics": rival,
        "PySODMetrics, without adaptive values": lean_rival,
        "ours": ours,
    }
    found = {name: side(prediction, truth) for name, side in sides.items()}
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(given.repeats):
        for name, side in sides.items():
            times[name].append(ms_per_frame(lambda side=side: side(prediction, truth), len(truth)))  # type: ignore[misc]
    medians = {name: statistics.median(some) for name, some in times.items()}
    figures: dict[str, Any] = {
        "rival": f"PySODMetrics {version('pysodmetrics')}",
        "frames": len(truth),
        "size": f"{truth.shape[2]}x{truth.shape[1]}",
        "largest difference": {
            name: float(np.abs(values - found["ours"][name]).max()) for name, values in found["PySODMetrics"].items()
        },
        "ms of processor time per frame": {name: round(value, 2) for name, value in medians.items()},
        "times faster": ratio_of_times(times["ours"], times["PySODMetrics"]),
        "times faster, without adaptive values": ratio_of_times(
            times["ours"], times["PySODMetrics, without adaptive values"]
        ),
    }
    publish("saliency", figures, given)


if __name__ == "__main__":
    main()
