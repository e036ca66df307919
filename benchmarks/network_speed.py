"""Speed of the training step against the published one: section `step` of `benchmarks.training`.

The rival is one step of the published trainer (Cho et al., arXiv 2407.11714) with the same modules on the same device:
one forward pass over the whole batch in float32, by torch's own convolutions and bicubic interpolation, cross-entropy,
backward, and torch's Adam. Its batch is ready as floats. Our side is one step of `segmentation train` with the modern
preset, from bytes to averaged weights. Both begin with the same weights, and before anything is timed, loss and
gradients of one batch are compared: on a difference beyond rounding, nothing is measured.

Each round takes one step of both sides. Rates are given by the clock and by the processor time of all cores, which
other processes on a busy machine do not count towards. `largest_product` is the rate of one large matrix product in
the same run, and `model_gflop_per_sample` counts the operations of the plain step, so that
`share_of_largest_product` says how near each side comes to the machine's limit; Winograd's algorithm needs fewer
operations than it is credited with.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import os
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.rounds import ratio_of
from segmentation.data.transforms import Batch, PreparedBatch, finish_batch
from segmentation.network.model import TwoStreamNetwork
from segmentation.network.precision import same_bits
from segmentation.network.resize import resize_bicubic
from segmentation.training.batches import seed_of
from segmentation.training.learner import Learner, Place
from segmentation.training.recipes import RECIPES

RECIPE = RECIPES["modern"]
PUBLISHED_RATE = 1e-5
LARGEST_LOSS_DIFFERENCE, LARGEST_GRADIENT_DIFFERENCE = 1e-5, 1e-3
"""Relative differences that rounding to float32 explains; of gradients, the length of the difference of all of them.

Rounding alone makes some 4e-6, but where two values are nearly equal it also decides which of them is the maximum that
gets the gradient: one such place among all pixels and channels makes about 2e-4.
"""


def measure_step(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the samples per second of a training step of both sides at each size, and their ratios."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    load = os.getloadavg()[0]
    sizes = {str(side): _compare(arguments, side, device) for side in arguments.step_sides_px}
    return {
        "rival": "the published trainer's step: one forward over the batch, torch's convolutions, Adam",
        "precision": {"ours": _precision(device), "rival": "float32"},
        "device": device,
        "threads": torch.get_num_threads(),
        "load_average_before": round(load, 2),
        "encoder": arguments.encoder,
        "batch": arguments.batch,
        "sides_px": sizes,
    }


def _compare(arguments: argparse.Namespace, side: int, device: str) -> dict[str, Any]:
    batch = arguments.batch
    network = TwoStreamNetwork(arguments.encoder, initialization="random", side_px=side)
    prepared = draw_batch(batch, side)
    floats = Batch(*(part.contiguous() for part in finish_batch(prepared, device)))
    equality = compare_results(network, prepared, floats, device)
    flops = _flops(network.to(device), floats)
    published = PublishedStep(copy.deepcopy(network).to(device))
    learner = Learner(network, RECIPE, Place(device), steps=RECIPE.steps, seed=0)
    numbers = itertools.count()

    def ours() -> None:
        with same_bits():
            learner.learn(prepared, next(numbers))

    product = largest_product(device)
    rates = alternate({"ours": ours, "published": lambda: published(floats)}, arguments.rounds, batch, device)
    product = max(product, largest_product(device))
    measured = rates["samples_per_second" if device == "cuda" else "samples_per_processor_second"]
    of_product = {name: measured[name]["median"] * flops / product for name in ("ours", "published")}
    return {
        **equality,
        **rates,
        "model_gflop_per_sample": round(flops / 1e9, 1),
        "largest_product_gflops_float32": round(product / 1e9, 1),
        "share_of_largest_product": {name: round(share, 3) for name, share in of_product.items()},
    }


def draw_batch(batch: int, side: int) -> PreparedBatch:
    """Draw a batch of noise, as `segmentation train` prepares it."""
    generator = torch.Generator().manual_seed(0)
    shape = (batch, side, side)
    image, colors = (torch.randint(0, 256, (*shape, 3), generator=generator, dtype=torch.uint8) for _ in range(2))
    mask = (torch.rand(shape, generator=generator) < 0.3).to(torch.uint8)
    return PreparedBatch(image, colors, mask, torch.ones(batch, 3), ("drawn",) * batch)


class PublishedStep:
    """The published trainer's step.

    Args:
        network: network that learns, with torch's own convolutions, on the device of the batches.
    """

    def __init__(self, network: TwoStreamNetwork) -> None:
        self.network = network.train()
        self.optimizer = torch.optim.Adam(network.parameters(), lr=PUBLISHED_RATE)

    def __call__(self, batch: Batch) -> Tensor:
        """Take one step and return the loss."""
        with patch("segmentation.network.model.resize_features", resize_bicubic):
            logits = self.network(batch.image, batch.flow_rgb)
            loss = F.cross_entropy(logits, batch.mask.long())
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()


def with_torch_interpolation(work: Callable[[], None]) -> Callable[[], None]:
    """Make the network resize its features as the published code does."""

    def run() -> None:
        with patch("segmentation.network.model.resize_features", resize_bicubic):
            work()

    return run


def compare_results(network: TwoStreamNetwork, prepared: PreparedBatch, floats: Batch, device: str) -> dict[str, float]:
    """Take one step of both sides in float32 from the same weights and return the differences of their results.

    Raises:
        SystemExit: the losses or the gradients differ by more than rounding.
    """
    recipe = replace(RECIPE, clip_norm=None, precision="float32")
    ours, published = copy.deepcopy(network), PublishedStep(copy.deepcopy(network).to(device))
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # TensorFloat-32 would leave 10 bits of float32
        with same_bits():
            learner = Learner(ours, recipe, Place(device), steps=recipe.steps, seed=0)
            our_loss = float(learner.learn(prepared, 0)[0])
        torch.manual_seed(seed_of(0, 0, 0, use=1))  # the same paths are dropped
        their_loss = float(published(floats))
    pairs = list(zip(ours.parameters(), published.network.parameters(), strict=True))
    difference = sum(float((a.grad - b.grad).double().square().sum()) for a, b in pairs) ** 0.5  # type: ignore[operator]
    length = sum(float(b.grad.double().square().sum()) for _, b in pairs) ** 0.5  # type: ignore[union-attr]
    found = {
        "relative_difference_of_loss": abs(our_loss - their_loss) / their_loss,
        "relative_difference_of_gradients": difference / length,
    }
    allowed = (LARGEST_LOSS_DIFFERENCE, LARGEST_GRADIENT_DIFFERENCE)
    for (name, value), largest in zip(found.items(), allowed, strict=True):
        if not value <= largest:
            raise SystemExit(
                f"{name} is {value:.2g}, expected at most {largest}: the two steps do not do the same work"
            )
    return found


def alternate(steps: dict[str, Callable[[], object]], rounds: int, samples: int, device: str) -> dict[str, Any]:
    """Measure two sides in turns, `ours` and its rival; the first round warms up.

    Args:
        steps: work of both sides by name, ours first.
        rounds: number of rounds that count.
        samples: number of samples of each step.
        device: `cpu` or `cuda`.
    """
    clock: dict[str, list[float]] = {name: [] for name in steps}
    processor: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds + 1):
        for name, work in steps.items():
            if device == "cuda":
                torch.cuda.synchronize()
            started, used = time.perf_counter(), time.process_time()
            work()
            if device == "cuda":
                torch.cuda.synchronize()
            clock[name].append(samples / (time.perf_counter() - started))
            processor[name].append(samples / (time.process_time() - used))
    ours, rival = steps
    found: dict[str, Any] = {}
    for kind, all_rates in (("second", clock), ("processor_second", processor)):
        rates = {name: some[1:] for name, some in all_rates.items()}
        found[f"samples_per_{kind}"] = {
            name: {"median": round(median(some), 4), "all": [round(one, 4) for one in some]}
            for name, some in rates.items()
        }
        found["ratio" if kind == "second" else "ratio_of_processor_time"] = ratio_of(rates[ours], rates[rival])
    return found


def largest_product(device: str) -> float:
    """Return the FLOP/s of the best of some large matrix products in float32: the limit of plain arithmetic.

    On a CPU seconds are processor time, as for the steps that are set beside it.
    """
    side = 8192 if device == "cuda" else 2048
    clock = time.perf_counter if device == "cuda" else time.process_time
    a = torch.randn(side, side, device=device)
    seconds = []
    for _ in range(4):
        if device == "cuda":
            torch.cuda.synchronize()
        started = clock()
        a @ a
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(clock() - started)
    return float(2 * side**3 / min(seconds[1:]))


def _flops(network: TwoStreamNetwork, batch: Batch) -> float:
    """Return the floating point operations of a plain step for one sample; a multiply-add counts as two."""
    copied = copy.deepcopy(network).train()
    with FlopCounterMode(display=False) as counter:
        F.cross_entropy(copied(batch.image[:1], batch.flow_rgb[:1]), batch.mask[:1].long()).backward()  # type: ignore[no-untyped-call]
    return float(counter.get_total_flops())


def _precision(device: str) -> str:
    return RECIPE.precision if device == "cuda" else "float32"
