"""Speed of scoring masks at 480p against a plain implementation of the official definition.

    python -m benchmarks.metrics

The rival computes J and F as the published evaluation describes them, with boundary maps of whole frames and dilation
by a disk, in OpenCV on all cores, one frame after the other. Both sides get the same arrays, and their scores are
compared first. When masks are read from files, the rival uses Pillow. Masks are drawn; with `--davis` and
`--predictions`, those of a DAVIS tree are used as well.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from benchmarks.record import add_options, publish
from benchmarks.rounds import ratio_of_times
from segmentation.scoring import bitmaps
from segmentation.scoring.metrics import score_frames, tolerance_of
from segmentation.scoring.protocols import PROTOCOLS
from segmentation.scoring.score import score_predictions
from segmentation.videos.datasets import open_dataset

HEIGHT, WIDTH = 480, 854


def rival_boundary(mask: np.ndarray) -> np.ndarray:
    """Mark pixels that differ from their right, lower or lower right neighbour."""
    right, below, diagonal = np.zeros_like(mask), np.zeros_like(mask), np.zeros_like(mask)
    right[:, :-1] = mask[:, 1:]
    below[:-1] = mask[1:]
    diagonal[:-1, :-1] = mask[1:, 1:]
    found = (mask ^ right) | (mask ^ below) | (mask ^ diagonal)
    found[-1] = mask[-1] ^ right[-1]
    found[:, -1] = mask[:, -1] ^ below[:, -1]
    found[-1, -1] = False
    return found


def rival_scores(found: np.ndarray, wanted: np.ndarray, disk: np.ndarray) -> tuple[float, float]:
    """Return J and F of one frame by the rival's implementation."""
    union = np.sum(found | wanted)
    region = np.sum(found & wanted) / union if union else 1.0
    a, b = rival_boundary(found), rival_boundary(wanted)
    wide_a, wide_b = (cv2.dilate(boundary.astype(np.uint8), disk) for boundary in (a, b))
    in_a, in_b = np.sum(a), np.sum(b)
    if in_a == 0 or in_b == 0:
        return float(region), float(in_a == in_b)
    precision, recall = np.sum(a * wide_b) / in_a, np.sum(b * wide_a) / in_b
    return float(region), float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def disk_of(radius: int) -> np.ndarray:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return (x * x + y * y <= radius * radius).astype(np.uint8)


def draw_davis(root: Path, videos: int, frames: int) -> None:
    """Write a DAVIS tree of moving, wobbling bodies, with predictions in grey levels that have rougher outlines."""
    lists = root / "DAVIS/ImageSets/2016/val.txt"
    lists.parent.mkdir(parents=True)
    lists.write_text("".join(f"body_{video}\n" for video in range(videos)))
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    for video in range(videos):
        rng = np.random.default_rng(video)
        size = rng.uniform(50, 170)
        for frame in range(frames):
            dy, dx = y - HEIGHT / 2 - 20 * math.sin(frame / 9), x - 150 - frame * (WIDTH - 300) / frames
            angle, radius = np.arctan2(dy, dx), np.hypot(dy, dx)
            outline = size * (1 + 0.25 * np.sin(3 * angle + frame / 7) + 0.08 * np.sin(11 * angle - frame / 5))
            rough = outline * (1 + 0.03 * np.sin(40 * angle + frame)) + rng.uniform(-6, 6)
            soft = 255 / (1 + np.exp(np.clip((radius - rough) / 1.5, -30, 30)))
            for path, pixels in (
                (root / "DAVIS/Annotations/480p", np.where(radius < outline, 255, 0)),
                (root / "predictions", soft),
            ):
                target = path / f"body_{video}/{frame:05d}.png"
                target.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels.astype(np.uint8)).save(target)


def files_of(davis: Path, predictions: Path) -> list[tuple[Path, Path]]:
    """Pair the scored frames with their predictions."""
    dataset = open_dataset("davis16", davis)
    return [
        (frame.masks[0], predictions / video.name / f"{frame.name}.png")
        for video in dataset.videos
        for frame in PROTOCOLS["davis16"].counted(video.annotated)
    ]


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("L")) >= 128


def ms_per_frame(work: Callable[[], Any], frames: int) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) / frames * 1e3


def measure(davis: Path, predictions: Path, repeats: int) -> dict[str, Any]:
    """Measure the rival and ours in turns; return the medians."""
    files = files_of(davis, predictions)
    wanted, found = (np.stack([read(pair[side]) for pair in files]) for side in (0, 1))
    disk = disk_of(tolerance_of(*wanted.shape[1:]))
    n = len(files)

    def rival_arrays() -> list[tuple[float, float]]:
        return [rival_scores(*pair, disk) for pair in zip(found, wanted, strict=True)]

    def rival_files() -> None:
        for truth, prediction in files:
            rival_scores(read(prediction), read(truth), disk)

    def ours_files() -> None:
        score_predictions(open_dataset("davis16", davis), predictions, PROTOCOLS["davis16"])

    def pack() -> None:
        bitmaps.pack(found)
        bitmaps.pack(wanted)

    ours = np.stack(score_frames(found, wanted), axis=1)
    difference = float(np.abs(ours - np.array(rival_arrays())).max())
    runs: dict[str, list[float]] = {}
    for _ in range(repeats):
        for name, work in (
            ("rival, arrays", rival_arrays),
            ("ours, arrays", lambda: score_frames(found, wanted)),
            ("limit: packing both masks", pack),
            ("rival, files", rival_files),
            ("ours, files", ours_files),
        ):
            runs.setdefault(name, []).append(ms_per_frame(work, n))
    medians = {name: statistics.median(times) for name, times in runs.items()}
    return {
        "frames": n,
        "size": f"{wanted.shape[2]}x{wanted.shape[1]}",
        "largest difference in J or F": difference,
        "ms per frame": {name: round(value, 3) for name, value in medians.items()},
        "times faster, arrays": ratio_of_times(runs["ours, arrays"], runs["rival, arrays"]),
        "times faster, files": ratio_of_times(runs["ours, files"], runs["rival, files"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--davis", type=Path, help="folder of DAVIS-2016, for real masks besides the drawn ones")
    parser.add_argument("--predictions", type=Path, help="folder of predictions for the val sequences of --davis")
    parser.add_argument("--repeats", type=int, default=7)
    add_options(parser)
    given = parser.parse_args()
    if given.quick:
        given.repeats = min(given.repeats, 3)
    with tempfile.TemporaryDirectory() as folder:
        draw_davis(Path(folder), videos=3, frames=30)
        figures = {"drawn masks": measure(Path(folder) / "DAVIS", Path(folder) / "predictions", given.repeats)}
    if given.davis and given.predictions:
        figures["DAVIS-2016"] = measure(given.davis, given.predictions, given.repeats)
    publish("metrics", figures, given)


if __name__ == "__main__":
    main()
