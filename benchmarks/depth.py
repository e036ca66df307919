"""Speed of depth estimation against transformers' own pipeline with the same network, photos and device.

    python -m benchmarks.depth --photos examples/DUTS/DUTS-TR/DUTS-TR-Image

The networks have their true architecture and random weights, which take the same time and need no download. Both sides
resize photos to a square, as the hub's processors do, so that they do the same work. Rounds of both sides alternate,
and their medians are compared.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.record import add_options, publish
from benchmarks.rounds import ratio_of_times
from depth import DepthEstimator
from depth.model_files import EMBEDDED_FOLDER
from depth.original import HYBRID, LARGE
from depth.preprocess import network_shape, prepare_on_host, restore_on_host
from depth.tiny import TinyDPT
from depth.weights import TINY_INPUT

DEPTH_ANYTHING_SMALL = {
    "backbone_config": {
        "model_type": "dinov2",
        "hidden_size": 384,
        "num_attention_heads": 6,
        "image_size": 518,
        "patch_size": 14,
        "out_indices": [3, 6, 9, 12],
        "reshape_hidden_states": False,
        "apply_layernorm": True,
    },
    "reassemble_hidden_size": 384,
    "neck_hidden_sizes": [48, 96, 192, 384],
    "fusion_hidden_size": 64,
}
TINY_DPT = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "backbone_out_indices": [0, 1, 2, 3],
    "neck_hidden_sizes": [16, 16, 16, 16],
    "fusion_hidden_size": 16,
    "image_size": 64,
}
DPT = {"dpt-hybrid": HYBRID, "dpt-large": LARGE, "dpt-tiny": TINY_DPT}
"""Configurations of DPT; the last is for trials of the benchmarks themselves."""
NETWORKS = ("dpt-hybrid", "dpt-large", "depth-anything-v2-small")


def save_random_network(name: str, folder: Path) -> Path:
    """Write a network of true architecture, with random weights of variance 1 / fan-in, and its processor."""
    from transformers import (
        DepthAnythingConfig,
        DepthAnythingForDepthEstimation,
        DPTConfig,
        DPTForDepthEstimation,
        DPTImageProcessor,
    )

    torch.manual_seed(0)
    if name == "depth-anything-v2-small":
        model = DepthAnythingForDepthEstimation(DepthAnythingConfig(**DEPTH_ANYTHING_SMALL))
        statistics_of = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
        size = {"height": 518, "width": 518}
    else:
        model = DPTForDepthEstimation(DPTConfig(**DPT[name]))
        statistics_of = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
        size = {"height": 384, "width": 384}
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, parameter[0].numel() ** -0.5)
        [m for m in model.head.modules() if isinstance(m, torch.nn.Conv2d)][-1].bias.fill_(1)
    model.save_pretrained(folder)
    DPTImageProcessor(size=size, keep_aspect_ratio=False, resample=3, **statistics_of).save_pretrained(folder)
    return folder


def read_photos(folder: Path, count: int) -> list[np.ndarray]:
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not paths:
        raise SystemExit(f"{folder}: found no photos. Give a folder of .jpg or .png files with --photos.")
    return [np.asarray(Image.open(paths[i % len(paths)]).convert("RGB")) for i in range(count)]


def time_rounds(contestants: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each contestant over rounds in which each runs once; a first round warms up."""
    return {name: statistics.median(some) for name, some in seconds_of_rounds(contestants, rounds).items()}


def seconds_of_rounds(contestants: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each contestant in rounds in which each runs once; a first round warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds + 1):
        for name, run in contestants.items():
            begin = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - begin)
    return {name: values[1:] for name, values in seconds.items()}


def count_flops(network: torch.nn.Module, photo: torch.Tensor) -> int:
    """Return the floating point operations of one forward pass; a multiply-add counts as two."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(photo)
    return int(counter.get_total_flops())


def measure_peak(device: torch.device, dtype: torch.dtype, side: int) -> float:
    """Return the FLOP/s of a matrix product of this side, as the peak of this device in this run."""
    a = torch.randn(side, side, device=device, dtype=dtype)

    def run() -> None:
        for _ in range(4):
            a @ a
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return 4 * 2 * side**3 / time_rounds({"product": run}, 3)["product"]


def compare(name: str, photos: list[np.ndarray], arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure `DepthEstimator` and transformers' pipeline with one network."""
    from transformers import pipeline

    with tempfile.TemporaryDirectory() as scratch:
        folder = save_random_network(name, Path(scratch))
        ours = DepthEstimator.load(str(folder), device=arguments.device, resize="square", compile=arguments.compile)
        batch = 32 if ours.device.type == "cuda" else 1
        rival = pipeline("depth-estimation", model=str(folder), device=ours.device, batch_size=batch)
        provenance = ours.provenance()  # its hash is that of the files
    images = [Image.fromarray(photo) for photo in photos]
    rule, precision = provenance["input"], provenance["precision"]
    squares = [np.asarray(image.resize((rule["side"], rule["side"]))) for image in images]
    taken = seconds_of_rounds({"ours": lambda: ours(photos), "rival": lambda: rival(images)}, arguments.rounds)
    seconds = {name: statistics.median(some) for name, some in taken.items()}
    square = torch.zeros(1, 3, rule["side"], rule["side"], device=ours.device)
    flops = count_flops(ours._network, square)
    peak = measure_peak(ours.device, getattr(torch, precision), 8192 if ours.device.type == "cuda" else 2048)
    achieved = flops * len(photos) / seconds["ours"]
    return {
        "network": name,
        "rival": "transformers pipeline('depth-estimation'), float32",
        "precision": precision,
        "compiled": arguments.compile,
        "photos": len(photos),
        "batch": batch,
        "photos_per_second": round(len(photos) / seconds["ours"], 3),
        "rival_photos_per_second": round(len(photos) / seconds["rival"], 3),
        "ratio": ratio_of_times(taken["ours"], taken["rival"]),
        "median_relative_difference": find_difference(ours, rival, squares),
        "median_relative_difference_with_own_resizing": find_difference(ours, rival, photos),
        "gflop_per_photo": round(flops / 1e9, 1),
        "tflops": round(achieved / 1e12, 4),
        "fraction_of_matrix_product": round(achieved / peak, 3),
    }


def find_difference(ours: DepthEstimator, rival: Any, photos: list[np.ndarray]) -> float:
    """Return the median over pixels of |ours - theirs| / theirs, both maps scaled to [0, 1].

    The photos have the network's size, so that both networks see the same pixels: transformers smooths a photo while
    shrinking it, and DPT as published does not.
    """
    differences = []
    for one, result in zip(ours(photos), rival([Image.fromarray(photo) for photo in photos]), strict=True):
        other = result["predicted_depth"].float().cpu().numpy()
        scaled = (other - other.min()) / (other.max() - other.min())
        differences.append(np.abs(one - scaled) / np.maximum(scaled, 1e-3))
    return float(np.median(np.concatenate([d.ravel() for d in differences])))


def measure_tiny(photos: list[np.ndarray], rounds: int) -> dict[str, Any]:
    """Measure tiny-dpt on the CPU with one core per photo, and with torch's threads on batches of 8 photos."""
    with tempfile.TemporaryDirectory() as scratch:
        if not EMBEDDED_FOLDER.exists():
            TinyDPT().save(Path(scratch))
        name = "tiny-dpt" if EMBEDDED_FOLDER.exists() else scratch
        estimator = DepthEstimator.load(name)
    network = estimator._network
    shape = (224, 288)
    rule = TINY_INPUT
    dense = torch.randn(8, 3, *shape).contiguous(memory_format=torch.channels_last)
    outputs = torch.rand(shape[0] // 2, shape[1] // 2)

    @torch.inference_mode()
    def run_batches() -> None:
        for _ in range(0, len(photos), 8):
            network(dense)

    def surround() -> None:
        for photo in photos:
            prepare_on_host(photo, network_shape(photo, rule), rule)
            restore_on_host(outputs, photo.shape[:2], "minmax")

    seconds = time_rounds({"whole": lambda: estimator(photos), "batches": run_batches, "around": surround}, rounds)
    return {
        "network": "tiny-dpt",
        "rival": "the network alone in dense batches of 8 x 224 x 288, all threads on each operation",
        "photos": len(photos),
        "photos_per_second": round(len(photos) / seconds["whole"], 2),
        "rival_photos_per_second": round(len(photos) / seconds["batches"], 2),
        "ratio": round(seconds["batches"] / seconds["whole"], 3),
        "pre_and_postprocessing_ms_per_photo": round(1e3 * seconds["around"] / len(photos), 2),
    }


def main() -> None:
    """Run the benchmark and write benchmarks/results/depth.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, default=Path("examples/DUTS/DUTS-TR/DUTS-TR-Image"))
    parser.add_argument("--networks", nargs="*", choices=NETWORKS, default=["dpt-hybrid", "depth-anything-v2-small"])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--count", type=int, help="number of photos per round (default 4 on the CPU, 256 on a GPU)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", action="store_true")
    add_options(parser, "leave out tiny-dpt")
    arguments = parser.parse_args()
    on_cpu = arguments.device == "cpu"
    photos = read_photos(arguments.photos, arguments.count or (4 if on_cpu else 256))
    rows = [compare(name, photos, arguments) for name in arguments.networks]
    if on_cpu and not arguments.quick:
        rows.append(measure_tiny(read_photos(arguments.photos, 64), arguments.rounds))
    publish("depth", {"threads": torch.get_num_threads(), "results": rows}, arguments)


if __name__ == "__main__":
    main()
