"""Training step of networks of different size on a CPU: section `sizes` of `benchmarks.training`.

Each round does one step of every network in turn, as `segmentation train` does it, from bytes to averaged weights.
Rates are given per second of the clock and per second of processor time of all cores. Only the latter mean something on
a machine that others use at the same time, so the ratios are of these. The load of the machine stands beside them.
"""

from __future__ import annotations

import argparse
import os
import time
from statistics import median
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.rounds import ratio_of
from segmentation.data.transforms import PreparedBatch
from segmentation.network.model import TwoStreamNetwork
from segmentation.network.precision import same_bits
from segmentation.network.sizes import PUBLISHED_WIDTH, SIZES, NetworkSize
from segmentation.training.learner import Learner, Place
from segmentation.training.recipes import RECIPES

RECIPE = RECIPES["modern"]
MIT_B0 = NetworkSize("mit-b0", PUBLISHED_WIDTH)
NETWORKS = {"mit-b0": MIT_B0, "mit-b0 without Winograd": MIT_B0, "small": SIZES["small"]}


def measure_sizes(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the training samples per second of each network, and the ratios to mit-b0."""
    batch, side = arguments.batch, arguments.side_px
    learners = {name: _make_learner(name, side) for name in NETWORKS}
    generator = torch.Generator().manual_seed(0)
    image, colors = (
        torch.randint(0, 256, (batch, side, side, 3), generator=generator, dtype=torch.uint8) for _ in range(2)
    )
    mask = (torch.rand(batch, side, side, generator=generator) < 0.3).to(torch.uint8)
    prepared = PreparedBatch(image, colors, mask, torch.ones(batch, 3), ("drawn",) * batch)
    clock: dict[str, list[float]] = {name: [] for name in NETWORKS}
    processor: dict[str, list[float]] = {name: [] for name in NETWORKS}
    load = [os.getloadavg()[0]]
    for step in range(arguments.rounds + 1):
        for name, learner in learners.items():
            started, used = time.perf_counter(), time.process_time()
            with same_bits():
                learner.learn(prepared, step)
            clock[name].append(batch / (time.perf_counter() - started))
            processor[name].append(batch / (time.process_time() - used))
    load.append(os.getloadavg()[0])
    # The first round warms up.
    rates_of = {name: rates[1:] for name, rates in processor.items()}
    return {
        "side_px": side,
        "batch": batch,
        "threads": torch.get_num_threads(),
        "load_average_before_and_after": [round(one, 1) for one in load],
        "samples_per_processor_second": {name: _summary(rates[1:]) for name, rates in processor.items()},
        "samples_per_second": {name: _summary(rates[1:]) for name, rates in clock.items()},
        "ratio_to_mit_b0": {name: ratio_of(rates, rates_of["mit-b0"]) for name, rates in rates_of.items()},
        "winograd_over_plain": ratio_of(rates_of["mit-b0"], rates_of["mit-b0 without Winograd"]),
    }


def _make_learner(name: str, side_px: int) -> Learner:
    size = NETWORKS[name]
    options: dict[str, Any] = {"initialization": "random", "side_px": side_px, "decoder_width": size.decoder_width}
    network = TwoStreamNetwork(size.encoder, **options)
    if name.endswith("without Winograd"):
        with patch("segmentation.training.learner.use_winograd", lambda _: None):
            return Learner(network, RECIPE, Place("cpu"), steps=RECIPE.steps, seed=0)
    return Learner(network, RECIPE, Place("cpu"), steps=RECIPE.steps, seed=0)


def _summary(rates: list[float]) -> dict[str, Any]:
    return {"median": round(median(rates), 2), "all": [round(rate, 2) for rate in rates]}
