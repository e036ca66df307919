"""Training against the published way, one section at a time: `python -m benchmarks.training loader`.

`loader`: samples per second of one core (of its time, from which others on a shared machine take nothing), from files
to the tensors that the network eats. Ours reads a dataset of `pipeline run` in training order and makes batches with
flips; the rival is `published_loader` on the same samples, the files in the page cache for both. Rounds alternate; the
parts of ours are timed on their own.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numcodecs.blosc
import numpy as np
import torch
from torch.utils.data import default_collate

from benchmarks.network_speed import measure_inference, measure_step
from benchmarks.published_loader import load_sample, write_tree
from benchmarks.record import ROOT, write
from segmentation import Augmentation, Mixture, ShardDataset, Triplet, make_batch

BATCH = 16


def measure_loader(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return samples per second and core of both loaders, their ratio, and where our time goes."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    numcodecs.blosc.set_nthreads(1)
    with tempfile.TemporaryDirectory() as folder:
        dataset = Path(folder) / "dutsv2.zarr"
        command = [sys.executable, "-m", "pipeline.cli", "run", "--input", arguments.input, "--output", str(dataset)]
        command += ["--limit", str(arguments.samples), "--depth-model", "tiny-dpt", "--workers", "0"]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        source = ShardDataset(str(dataset))
        tree = Path(folder) / "tree"
        names = write_tree(source, tree)
        mixture = Mixture([(source, 1)], len(names))
        ours = [_rate(lambda: _ours(mixture), len(names))]
        published = [_rate(lambda: _published(tree, names), len(names))]
        for _ in range(arguments.rounds):
            ours.append(_rate(lambda: _ours(mixture), len(names)))
            published.append(_rate(lambda: _published(tree, names), len(names)))
        ours, published = ours[1:], published[1:]  # the first round warms up
        samples = list(mixture)
        reading = [_rate(lambda: [_read(mixture, first) for first in range(0, len(names), BATCH)], len(names))]
        batching = [_rate(lambda: _batches(samples), len(names)) for _ in range(arguments.rounds)]
    return {
        "samples": len(names),
        "batch": BATCH,
        "side_px": 512,
        "megapixels_per_sample": round(float(np.mean([sample.mask.numel() for sample in samples])) / 1e6, 3),
        "ours_samples_per_second_and_core": _summary(ours),
        "published_samples_per_second_and_core": _summary(published),
        "ratio_of_medians": round(median(ours) / median(published), 2),
        "ratio_per_round": [round(a / b, 2) for a, b in zip(ours, published, strict=True)],
        "our_milliseconds_per_sample": {
            "read": round(1000 / median(reading), 2),
            "make_batch": round(1000 / median(batching), 2),
        },
    }


def _ours(mixture: Mixture) -> None:
    options, generator = Augmentation(), torch.Generator().manual_seed(0)
    for first in range(0, len(mixture), BATCH):
        make_batch(_read(mixture, first), augmentation=options, generator=generator)


def _read(mixture: Mixture, first: int) -> list[Triplet]:
    return mixture.__getitems__(range(first, min(first + BATCH, len(mixture))))


def _batches(samples: list[Triplet]) -> None:
    options, generator = Augmentation(), torch.Generator().manual_seed(0)
    for first in range(0, len(samples), BATCH):
        make_batch(samples[first : first + BATCH], augmentation=options, generator=generator)


def _published(tree: Path, names: list[str]) -> None:
    generator = random.Random(0)
    chosen = generator.sample(names, len(names))
    for first in range(0, len(names), BATCH):
        default_collate([load_sample(tree, name, generator) for name in chosen[first : first + BATCH]])


def _rate(work: Callable[[], object], samples: int) -> float:
    started = time.process_time()
    work()
    return samples / (time.process_time() - started)


def _summary(rates: list[float]) -> dict[str, Any]:
    return {"median": round(median(rates), 1), "all": [round(rate, 1) for rate in rates]}


SECTIONS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "loader": measure_loader,
    "step": measure_step,
    "inference": measure_inference,
}


def main() -> None:
    """Measure one section and write benchmarks/results/training_<section>.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("section", choices=SECTIONS)
    parser.add_argument("--input", default="examples/DUTS", help="photos and masks for the loader")
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--encoder", default="mit-b0", help="for step and inference")
    parser.add_argument("--batch", type=int, default=4, help="samples of a step, frames of an inference")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    figures = SECTIONS[arguments.section](arguments)
    print(figures)
    print(write(f"training_{arguments.section}", figures))


if __name__ == "__main__":
    main()
