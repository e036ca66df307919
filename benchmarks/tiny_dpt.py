"""Accuracy of `tiny-dpt` on held-out photos: `python -m benchmarks.tiny_dpt --help`.

The 300 photos are those that `python -m depth.distill` holds out, evenly spread over the first folder. Depth is
estimated by `DepthEstimator`, as in the pipeline.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from benchmarks.record import write
from depth import DepthEstimator
from depth.distill.agreement import is_object_nearer, spearman
from depth.distill.examples import find_examples, hold_out, read_map, read_photo
from depth.distill.targets import normalize_inverse_depth


def main() -> None:
    """Measure and write benchmarks/results/tiny_dpt.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--photos", "--masks", "--teacher-depth"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--depth-model", default="tiny-dpt")
    arguments = parser.parse_args()
    examples = hold_out(find_examples(arguments.photos, arguments.teacher_depth, arguments.masks), 300)
    photos = [read_photo(example.photo) for example in examples]
    estimator = DepthEstimator.load(arguments.depth_model)
    correlations, nearer, teacher_nearer = [], [], []
    for example, inverse_depth in zip(examples, estimator(photos), strict=True):
        teacher = normalize_inverse_depth(read_map(example.teacher), "depth")
        at_teacher = cv2.resize(inverse_depth, teacher.shape[::-1], interpolation=cv2.INTER_AREA)
        correlations.append(spearman(at_teacher, teacher))
        if example.mask is not None:
            mask = cv2.resize(read_map(example.mask), inverse_depth.shape[::-1], interpolation=cv2.INTER_AREA) > 127
            nearer.append(is_object_nearer(inverse_depth, mask))
            teacher_nearer.append(is_object_nearer(cv2.resize(teacher, inverse_depth.shape[::-1]), mask))
    figures = {
        "depth_model": estimator.provenance(),
        "photos": len(examples),
        "median_spearman_with_teacher": round(float(np.median(correlations)), 4),
        "object_nearer": round(float(np.mean(nearer)), 4),
        "object_nearer_teacher": round(float(np.mean(teacher_nearer)), 4),
    }
    print(figures)
    print(write("tiny_dpt", figures))


if __name__ == "__main__":
    main()
