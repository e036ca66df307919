"""Speed of `pipeline run` against its depth network alone: `python -m benchmarks.pipeline --input DUTS`.

The rival, which is also an upper limit, is the depth network's forward pass on the same device and photos, decoded and
prepared in memory. It is measured before and after the runs, because the speed of a shared machine changes. Also
measured are the peak memory of a short and of a long run, the bytes per sample, and the time to read one random sample.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.depth import NETWORKS, save_random_network
from benchmarks.record import ROOT, write
from depth import DepthEstimator
from depth.estimator import GPU_BATCH
from depth.preprocess import network_shape, prepare_on_host
from depth.streams import map_on_cores
from pipeline.dataset.store import DatasetStore
from pipeline.photos.decoding import decode_pair
from pipeline.photos.listing import build_listing

DUTS_PHOTOS = 15_572
"""DUTS-TR and DUTS-TE."""


def network_alone(estimator: DepthEstimator, photos: list[np.ndarray], repeats: int) -> list[float]:
    """Return photos per second of the forward pass, once per repeat; the first pass does not count.

    A CPU works on as many photos as it has cores, each photo on one core; a GPU gets dense batches in its own memory.
    """
    rule = estimator._input
    is_cpu = estimator.device.type == "cpu"
    by_shape: dict[tuple[int, int], list[np.ndarray]] = {}
    for photo in photos:
        by_shape.setdefault(network_shape(photo, rule), []).append(photo)
    size = 1 if is_cpu else GPU_BATCH
    prepared = [
        torch.cat([prepare_on_host(photo, shape, rule) for photo in some[first : first + size]]).to(estimator.device)
        for shape, some in by_shape.items()
        for first in range(0, len(some), size)
    ]

    def forward(pixels: torch.Tensor) -> None:
        with torch.inference_mode():
            estimator._infer(pixels)

    rates = []
    for repeat in range(repeats + 1):
        started = time.perf_counter()
        if is_cpu:
            map_on_cores(forward, prepared)
        else:
            for pixels in prepared:
                forward(pixels)
            torch.cuda.synchronize()
        if repeat:
            rates.append(len(photos) / (time.perf_counter() - started))
    return rates


def whole_path(arguments: argparse.Namespace, output: Path, limit: int) -> dict[str, float]:
    """Make a dataset in a new process; return its rate without start-up, total seconds and peak memory."""
    shutil.rmtree(output, ignore_errors=True)
    command = ["/usr/bin/env", sys.executable, "-m", "benchmarks.peak_memory", "pipeline.cli", "run"]
    command += ["--input", arguments.input, "--output", str(output), "--limit", str(limit)]
    command += ["--depth-model", arguments.depth_model, "--workers", "0", "--motion", arguments.motion]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(done.stderr)
    rates = re.findall(rf"^{limit}/{limit} photos, ([\d.]+)/(s|min)", done.stderr, re.MULTILINE)
    peak = re.findall(r"^peak memory (\d+) kB", done.stderr, re.MULTILINE)
    return {
        "photos": limit,
        "photos_per_second": round(float(rates[-1][0]) / (60 if rates[-1][1] == "min" else 1), 3),
        "seconds_with_start": round(seconds, 1),
        "peak_memory_mb": round(int(peak[-1]) / 1024),
    }


def bytes_per_sample(output: Path, samples: int) -> dict[str, int]:
    """Return the stored bytes per sample of every array."""
    sizes = {}
    for folder in sorted(path for path in output.iterdir() if (path / "c").is_dir()):
        sizes[folder.name] = round(sum(p.stat().st_size for p in (folder / "c").rglob("*") if p.is_file()) / samples)
    return {**sizes, "all": sum(sizes.values())}


def random_read_ms(output: Path, samples: int, reads: int = 200) -> float:
    """Return the median milliseconds to read all arrays of one random row from a warm page cache."""
    store = DatasetStore.open(str(output))
    times = []
    for row in np.random.default_rng(0).integers(0, samples, reads):
        started = time.perf_counter()
        for name in ("image", "mask", "inverse_depth", "flow"):
            store.read(name, int(row))
        times.append(1000 * (time.perf_counter() - started))
    return median(times)


def main() -> None:
    """Measure and write benchmarks/results/pipeline.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True)
    parser.add_argument("--depth-model", default="tiny-dpt")
    parser.add_argument(
        "--random", choices=NETWORKS, help="use a network of true size with random weights in place of --depth-model"
    )
    parser.add_argument("--motion", default="davis")
    parser.add_argument("--short", type=int, default=500)
    parser.add_argument("--long", type=int, default=3500)
    parser.add_argument("--sample", type=int, default=256, help="number of photos for the network alone")
    arguments = parser.parse_args()

    listing = build_listing(arguments.input)
    rows = listing.rows[:: max(1, len(listing) // arguments.sample)][: arguments.sample]
    photos = [decode_pair(Path(row.image).read_bytes(), None, 400)[0] for row in rows]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with tempfile.TemporaryDirectory() as folder:
        if arguments.random:
            arguments.depth_model = str(save_random_network(arguments.random, Path(folder) / arguments.random))
        estimator = DepthEstimator.load(arguments.depth_model, device=device)
        alone = network_alone(estimator, photos, 2)
        output = Path(folder) / "dutsv2.zarr"
        short = whole_path(arguments, output, arguments.short)
        alone += network_alone(estimator, photos, 1)
        long = whole_path(arguments, output, min(arguments.long, len(listing)))
        alone += network_alone(estimator, photos, 2)
        figures: dict[str, Any] = {
            "motion": arguments.motion,
            "depth_model": arguments.random or arguments.depth_model,
            "device": device,
            "network_alone_photos_per_second": {"median": round(median(alone), 2), "all": [round(r, 2) for r in alone]},
            "whole_path": {"short": short, "long": long},
            "ratio_to_network_alone": round(long["photos_per_second"] / median(alone), 3),
            "seconds_for_all_of_duts": round(DUTS_PHOTOS / long["photos_per_second"], 1),
            "peak_memory_long_over_short": round(long["peak_memory_mb"] / short["peak_memory_mb"], 3),
            "bytes_per_sample": bytes_per_sample(output, int(long["photos"])),
            "random_read_ms": round(random_read_ms(output, int(long["photos"])), 2),
        }
    print(figures)
    print(write("pipeline", figures))


if __name__ == "__main__":
    main()
