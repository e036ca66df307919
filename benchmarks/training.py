"""Speed of training against the published code, one section at a time: `python -m benchmarks.training loader`.

`loader` measures samples per second of one core, from files to the network's input, by processor time, which other
processes on a shared machine do not count towards. Our side reads a dataset of `pipeline run` in training order and
makes batches with flips, as in a training. The rival is `published_loader` on the same samples. The files are in the
page cache for both, and rounds of both alternate. `to_a_gpu` measures loading up to the batches of bytes that a GPU
turns into floats itself.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numcodecs.blosc
import numpy as np
import torch
from torch.utils.data import default_collate

from benchmarks.network_speed import measure_step
from benchmarks.published_loader import load_sample, write_tree
from benchmarks.record import ROOT, add_options, publish
from benchmarks.rounds import ratio_of
from benchmarks.size_speed import measure_sizes
from segmentation import Augmentation, Batch, Mixture, ShardDataset
from segmentation.data.transforms import finish_batch, prepare_batch

BATCH = 16


def measure_loader(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the samples per second and core of both loaders, their ratio, and the parts of our time."""
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
        names = write_tree((source.read([number], 0)[0] for number in source.order(0).tolist()), tree)
        mixture = Mixture([(source, 1)], len(names))
        megapixels = float(np.mean([mixture[position].mask.numel() for position in range(len(mixture))])) / 1e6
        works: tuple[Callable[[], object], ...] = (
            lambda: _ours(mixture),
            lambda: _ours(mixture, is_for_gpu=True),
            lambda: _published(tree, names),
        )
        rounds = [[_rate(work, len(names)) for work in works] for _ in range(1 + arguments.rounds)]
        ours, to_a_gpu, published = zip(*rounds[1:], strict=True)  # the first round warms up
    return {
        "samples": len(names),
        "batch": BATCH,
        "side_px": 512,
        "megapixels_per_sample": round(megapixels, 3),
        "ours_samples_per_second_and_core": _summary(ours),
        "to_a_gpu_samples_per_second_and_core": _summary(to_a_gpu),
        "published_samples_per_second_and_core": _summary(published),
        "ratio": ratio_of(ours, published),
        "ratio_to_a_gpu": ratio_of(to_a_gpu, published),
    }


def _ours(mixture: Mixture, *, is_for_gpu: bool = False) -> None:
    options, generator = Augmentation(), torch.Generator().manual_seed(0)
    batch: Batch | None = None
    for first in range(0, len(mixture), BATCH):
        samples = mixture.__getitems__(range(first, min(first + BATCH, len(mixture))))
        prepared = prepare_batch(samples, augmentation=options, generator=generator)
        if not is_for_gpu:
            batch = finish_batch(prepared, "cpu", batch)


def _published(tree: Path, names: list[str]) -> None:
    generator = random.Random(0)
    chosen = generator.sample(names, len(names))
    for first in range(0, len(names), BATCH):
        default_collate([load_sample(tree, name, generator) for name in chosen[first : first + BATCH]])


def _rate(work: Callable[[], object], samples: int) -> float:
    started = time.process_time()
    work()
    return samples / (time.process_time() - started)


def _summary(rates: Sequence[float]) -> dict[str, Any]:
    return {"median": round(median(rates), 1), "all": [round(rate, 1) for rate in rates]}


SECTIONS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "loader": measure_loader,
    "step": measure_step,
    "sizes": measure_sizes,
}


def main() -> None:
    """Measure one section, and write benchmarks/results/training_<section>.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("section", choices=SECTIONS)
    parser.add_argument("--input", default="examples/DUTS", help="folder of photos and masks for the loader")
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--encoder", default="mit-b0", help="encoder for step (default %(default)s)")
    parser.add_argument("--batch", type=int, default=4, help="number of samples of a step (default %(default)s)")
    parser.add_argument(
        "--step-sides-px", type=int, nargs="+", default=[256, 512], help="sides of the network's square for step"
    )
    parser.add_argument("--side-px", type=int, default=192, help="side of the network's square for sizes")
    parser.add_argument("--rounds", type=int, default=5)
    add_options(parser)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds = min(arguments.rounds, 3)
    figures = SECTIONS[arguments.section](arguments)
    publish(f"training_{arguments.section}", figures, arguments)


if __name__ == "__main__":
    main()
