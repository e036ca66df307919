"""Speed of flow estimation for a video against the published procedure.

    python -m benchmarks.raft --weights raft-small.pth --davis DAVIS

The rival is torchvision's forward pass with the same weights and number of iterations, in float32 on all cores or the
GPU, for one pair at a time, so that the features of every frame are computed twice. Rounds of both sides alternate, and
processor seconds are given beside rates, because the speed of a shared machine changes. Also measured is the peak
memory of `segmentation flows` for a short and a long video with small frames and one iteration, each in a new process.
"""

from __future__ import annotations

import argparse
import itertools
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.record import ROOT, add_options, publish
from benchmarks.rounds import ratio_of
from pipeline.photos.decoding import decode_photo
from segmentation.flow.raft import load_raft
from segmentation.flow.raft_names import DEFAULT_ITERATIONS
from segmentation.flow.raft_weights import open_raft

Estimate = Callable[[np.ndarray], np.ndarray]


def published_procedure(weights: str, device: str, iterations: int) -> Estimate:
    """Return the rival, a function from frames to flow."""
    network = open_raft(weights).network.to(device)

    def pixels(frame: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.array(frame)).to(device).permute(2, 0, 1)[None].float() / 255 * 2 - 1

    @torch.inference_mode()
    def estimate(frames: np.ndarray) -> np.ndarray:
        height, width = frames.shape[1:3]
        across, down = -width % 8, -height % 8
        margins = (across // 2, across - across // 2, down // 2, down - down // 2)
        flows = []
        for first, second in itertools.pairwise(frames):
            images = (torch.nn.functional.pad(pixels(frame), margins, mode="replicate") for frame in (first, second))
            flow = network(*images, num_flow_updates=iterations)[-1][0].permute(1, 2, 0)
            flows.append(flow[margins[2] : margins[2] + height, margins[0] : margins[0] + width].cpu().numpy())
        return np.stack(flows)

    return estimate


def measure(estimate: Estimate, frames: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Return the flow, and pairs per second of elapsed and of processor time."""
    clock, processor = time.perf_counter(), time.process_time()
    flow = estimate(frames)
    pairs = len(frames) - 1
    return flow, pairs / (time.perf_counter() - clock), pairs / (time.process_time() - processor)


def compare(arguments: argparse.Namespace, device: str) -> dict[str, Any]:
    """Measure both sides on the first frames of one DAVIS sequence."""
    folder = Path(arguments.davis) / "JPEGImages/480p" / arguments.sequence
    paths = sorted(folder.glob("*.jpg"))[: arguments.pairs + 1]
    frames = np.stack([decode_photo(path.read_bytes()) for path in paths])
    ours = load_raft(arguments.weights, device, iterations=arguments.iterations)
    rival = published_procedure(arguments.weights, device, arguments.iterations)
    for warm_up in (ours, rival):
        warm_up(frames[:2] if device == "cpu" else frames)
    rounds: dict[str, list[tuple[np.ndarray, float, float]]] = {"ours": [], "published": []}
    for _ in range(arguments.rounds):
        rounds["ours"].append(measure(ours, frames))
        rounds["published"].append(measure(rival, frames))
    rates = {
        name: {
            "pairs_per_second": round(median(rate for _, rate, _ in values), 3),
            "pairs_per_processor_second": round(median(rate for _, _, rate in values), 3),
            "all_pairs_per_second": [round(rate, 3) for _, rate, _ in values],
        }
        for name, values in rounds.items()
    }
    distance = np.linalg.norm(rounds["ours"][0][0] - rounds["published"][0][0], axis=-1).mean()
    return {
        "frames": f"{frames.shape[2]}x{frames.shape[1]}",
        "pairs": len(frames) - 1,
        **rates,
        "precision": {"ours": ours.precision, "rival": "float32"},
        "ratio": ratio_of([one[1] for one in rounds["ours"]], [one[1] for one in rounds["published"]]),
        "ratio_of_processor_time": ratio_of(
            [one[2] for one in rounds["ours"]], [one[2] for one in rounds["published"]]
        ),
        "mean_end_point_difference_px": round(float(distance), 4),
    }


def peak_memory_mb(arguments: argparse.Namespace, folder: Path, frames: int) -> int:
    """Return the peak memory of the command on a synthetic video with this number of frames."""
    clip = folder / f"{frames}.mp4"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter_fourcc(*"mp4v"), 25.0, (160, 128))
    texture = np.random.default_rng(0).integers(0, 256, (128, 160 + frames, 3)).astype(np.uint8)
    for k in range(frames):
        writer.write(np.ascontiguousarray(texture[:, k : k + 160]))
    writer.release()
    command = [sys.executable, "-m", "benchmarks.peak_memory", "segmentation.cli", "flows", "--video", str(clip)]
    command += ["--output", str(folder / "flows.zarr"), "--raft", arguments.weights, "--raft-iterations", "1"]
    command += ["--workers", "0"]
    done = subprocess.run(["/usr/bin/env", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return round(int(re.findall(r"^peak memory (\d+) kB", done.stderr, re.MULTILINE)[-1]) / 1024)


def main() -> None:
    """Measure and write benchmarks/results/raft.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--davis", required=True)
    parser.add_argument("--sequence", default="libby")
    parser.add_argument("--pairs", type=int, default=2 if not torch.cuda.is_available() else 40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=DEFAULT_ITERATIONS)
    parser.add_argument("--short", type=int, default=100)
    parser.add_argument("--long", type=int, default=1000)
    add_options(parser, "leave out the peak memory")
    arguments = parser.parse_args()
    arguments.weights = str(Path(arguments.weights).resolve())
    device = "cuda" if torch.cuda.is_available() else "cpu"
    figures: dict[str, Any] = {
        "weights": Path(arguments.weights).name,
        "iterations": arguments.iterations,
        "device": device,
        "speed": compare(arguments, device),
    }
    if not arguments.quick:
        lengths = (arguments.short, arguments.long)
        with tempfile.TemporaryDirectory() as folder:
            short, long = (peak_memory_mb(arguments, Path(folder), frames) for frames in lengths)
        figures["peak_memory"] = {
            f"{arguments.short}_frames_mb": short,
            f"{arguments.long}_frames_mb": long,
            "long_over_short": round(long / short, 3),
        }
    publish("raft", figures, arguments)


if __name__ == "__main__":
    main()
