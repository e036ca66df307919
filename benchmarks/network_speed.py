"""Speed of training steps and inference against the published code: `step` and `inference` of `benchmarks.training`.

The rival runs the same modules on the same device in float32 with torch's own convolutions. As in the published forward
pass, it takes one frame after the other, resizes each to 512 and back, and resizes features between the scales by
torch's bicubic interpolation; in the training step it sums gradients over the batch and uses plain Adam. Our side is
one step of `segmentation train` with the modern preset, from bytes to averaged weights, and its validation. Rounds of
both sides alternate.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import time
from collections.abc import Callable
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional as F

from flowsim import flow_to_rgb
from segmentation.data.photo_samples import Triplet
from segmentation.data.transforms import PreparedBatch, finish_batch
from segmentation.network.model import NETWORK_SIDE_PX, TwoStreamNetwork
from segmentation.network.precision import same_bits
from segmentation.network.resize import resize_bicubic
from segmentation.training.learner import Learner, Place
from segmentation.training.recipes import RECIPES
from segmentation.training.validation import score_samples

FRAME = (480, 854)
RECIPE = RECIPES["modern"]


def measure_step(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the samples per second of a training step of both sides, and their ratio."""
    device, batch, side = _device(), arguments.batch, NETWORK_SIDE_PX
    network = TwoStreamNetwork(arguments.encoder, initialization="random").to(device).train()
    published = _published_step(copy.deepcopy(network))
    learner = Learner(network, RECIPE, Place(device), steps=RECIPE.epochs * 1000, seed=0)
    generator = torch.Generator().manual_seed(0)
    image, colors = (
        torch.randint(0, 256, (batch, side, side, 3), generator=generator, dtype=torch.uint8) for _ in range(2)
    )
    mask = (torch.rand(batch, side, side, generator=generator) < 0.3).to(torch.uint8)
    prepared = PreparedBatch(image, colors, mask, torch.ones(batch, 3), ("drawn",) * batch)
    batch_of_floats = finish_batch(prepared, device)
    steps = itertools.count()

    def ours() -> None:
        with same_bits():
            learner.learn(prepared, next(steps))

    rates = _alternate(ours, with_torch_interpolation(lambda: published(*batch_of_floats)), arguments, batch)
    return rates | {"precision": _precision(device)}


def measure_inference(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the frames per second of both sides, from pixels and flow of 480p frames to masks, and their ratio."""
    device = _device()
    network = TwoStreamNetwork(arguments.encoder, initialization="random").to(device).eval()
    plain = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(0)
    frames = [
        Triplet(
            str(number),
            torch.randint(0, 256, (*FRAME, 3), generator=generator, dtype=torch.uint8),
            torch.randn(*FRAME, 2, generator=generator),
            torch.zeros(FRAME, dtype=torch.uint8),
        )
        for number in range(arguments.batch)
    ]

    def our_masks() -> None:
        options = {"with_boundaries": False, "device": device, "precision": RECIPE.precision}
        list(score_samples(network, (("video", frame) for frame in frames), **options))

    @torch.no_grad()
    def published_masks() -> None:
        for frame in frames:
            image = frame.image.to(device).permute(2, 0, 1)[None].float() / 255
            flow_rgb = flow_to_rgb(frame.flow_px).to(device).permute(2, 0, 1)[None].float() / 255
            logits = plain(image, flow_rgb)
            logits.argmax(1).to(torch.uint8).cpu()

    return _alternate(our_masks, with_torch_interpolation(published_masks), arguments, len(frames)) | {
        "precision": _precision(device)
    }


def with_torch_interpolation(work: Callable[[], None]) -> Callable[[], None]:
    """Make the network resize its features as the published code does."""

    def run() -> None:
        with patch("segmentation.network.model.resize_features", resize_bicubic):
            work()

    return run


def _published_step(network: TwoStreamNetwork) -> Callable[[Tensor, Tensor, Tensor], None]:
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-5, foreach=False)

    def step(image: Tensor, flow_rgb: Tensor, mask: Tensor) -> None:
        optimizer.zero_grad()
        for number in range(len(image)):
            one = slice(number, number + 1)
            logits = network(image[one], flow_rgb[one])
            (F.cross_entropy(logits, mask[one].long()) / len(image)).backward()
        optimizer.step()

    return step


def _alternate(
    ours: Callable[[], None], published: Callable[[], None], arguments: argparse.Namespace, frames: int
) -> dict[str, Any]:
    """Measure both sides in turns; the first round warms up."""
    rates: dict[str, list[float]] = {"ours": [], "published": []}
    for _ in range(arguments.rounds + 1):
        for name, work in (("ours", ours), ("published", published)):
            started = time.perf_counter()
            work()
            if _device() == "cuda":
                torch.cuda.synchronize()
            rates[name].append(frames / (time.perf_counter() - started))
    kept = {name: some[1:] for name, some in rates.items()}
    return {
        "encoder": arguments.encoder,
        "batch": arguments.batch,
        "frames_per_second": {name: {"median": median(some), "all": some} for name, some in kept.items()},
        "ratio_of_medians": median(kept["ours"]) / median(kept["published"]),
        "ratio_per_round": [a / b for a, b in zip(kept["ours"], kept["published"], strict=True)],
    }


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _precision(device: str) -> str:
    return RECIPE.precision if device == "cuda" else "float32"
