"""Error and cost of estimators of flow on pairs whose flow is exact: `python -m benchmarks.estimators --raft WEIGHTS`.

The pairs are the example photos with their next frames under motions of the preset `davis`. Each estimator sees every
pair twice: as it is, as in a video of that size, and enlarged to a longer side of 854 px, as `segmentation flows
--pairs` does it. The error is the distance to the exact flow in pixels of the photo, over the pixels inside the window
that are visible in both frames; pixels of all pairs count alike. Times are processor seconds of one thread for a pair,
its enlarging included. Further estimators such as `ptlflow:sea_raft_s` are named by `--also`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.frames import photos
from benchmarks.record import write
from flowsim import MotionPrior, make_clip, sample_motion, separate_layers
from segmentation.flow.estimators import Estimator, identify, load_estimator
from segmentation.flow.pair_estimate import VIDEO_SIDE_PX, estimate_as_video
from segmentation.flow.settings import EstimatorSettings

Pair = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""First frame, second frame, exact flow in px, and the pixels that count."""


def exact_pairs(motions: int) -> list[Pair]:
    """Render pairs of the example photos under motions of the preset `davis`."""
    prior = MotionPrior.preset("davis")
    made = []
    for name, image, grey, depth in photos():
        layers = separate_layers(image, depth, (grey > 127).astype(np.uint8), grey)
        for number in range(motions):
            clip = make_clip(image, layers, [sample_motion(prior, 0, name, number)])
            field, window = clip.forward[0], clip.window
            counts = ((field.fate == 0) & field.valid)[window]
            made.append((image[window], clip.images[0][window], field.flow[window], counts))
    return made


def measure(estimate: Callable[[np.ndarray, np.ndarray], np.ndarray], pairs: list[Pair]) -> dict[str, float]:
    """Return the error over all pixels that count, and the processor time of a pair."""
    errors, seconds = [], []
    for first, second, exact, counts in pairs:
        begun = time.thread_time()
        flow = estimate(first, second)
        seconds.append(time.thread_time() - begun)
        errors.append(np.hypot(*np.moveaxis(flow - exact, -1, 0))[counts])
    error = np.concatenate(errors)
    return {
        "mean_error_px": float(error.mean()),
        "median_error_px": float(np.median(error)),
        "share_above_3_px": float((error > 3).mean()),
        "seconds_per_pair": statistics.median(seconds),
    }


def measure_both(estimator: Estimator, pairs: list[Pair]) -> dict[str, dict[str, float]]:
    """Measure an estimator on the pairs as they are, and enlarged."""

    def enlarged(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return estimate_as_video(estimator, first, second)

    return {"as they are": measure(estimator.pair, pairs), "enlarged": measure(enlarged, pairs)}


def main() -> None:
    """Measure and write benchmarks/results/estimators.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raft", required=True, help="weights of RAFT, as for `segmentation flows`")
    parser.add_argument("--also", action="append", default=[], help="further estimator, as ptlflow:sea_raft_s")
    parser.add_argument("--motions", type=int, default=2, help="motions of each photo (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="take two pairs and print the figures without writing")
    given = parser.parse_args()
    torch.set_num_threads(1)
    pairs = exact_pairs(given.motions)[: 2 if given.quick else None]
    estimators: dict[str, Any] = {}
    for name in ("dis", "raft", *given.also):
        settings = EstimatorSettings(flow=name, raft=given.raft)
        identity = identify(settings)
        measured = measure_both(load_estimator(settings, "cpu"), pairs)
        estimators[identity.network] = {"weights": identity.name, "iterations": identity.iterations, **measured}
        print(identity.network, measured)
    lengths = np.concatenate([np.hypot(*np.moveaxis(exact, -1, 0))[counts] for _, _, exact, counts in pairs])
    figures = {
        "load_average": os.getloadavg()[0],
        "pairs": len(pairs),
        "enlarged_to_px": VIDEO_SIDE_PX,
        "longer_side_px": [max(first.shape) for first, *_ in pairs],
        "mean_flow_px": float(lengths.mean()),
        "estimators": estimators,
    }
    print(figures)
    if not given.quick:
        print(write("estimators", figures))


if __name__ == "__main__":
    main()
