"""Frames per second of whole commands, `segmentation predict` and `segmentation evaluate`, beside the published road.

    python -m benchmarks.commands --davis DAVIS --raft raft-small.pth

Everything counts, from the start of the process to its end: imports, weights, decoding, flow, masks and writing; for
`evaluate` also flow on disk and scores, for `predict` also the video with the overlay. The rival is
`benchmarks.published_road`, with the same frames, network, weights of RAFT and number of its iterations, in float32 on
the same device. The three commands alternate, each in a new process and with an empty output, and medians are
compared. Without `--checkpoint` the network has random weights, which take the same time. Each command is run once
before on three frames of each sequence, so that libraries and weights are in the page cache.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.evaluate import part_of_davis
from benchmarks.record import ROOT, write
from segmentation.flow.raft_names import DEFAULT_ITERATIONS
from segmentation.network.checkpoint import save_network
from segmentation.network.model import TwoStreamNetwork

RIVAL = "published road"
WARM_UP_FRAMES = 3
"""The fewest that the protocol of DAVIS-2016, which leaves out the first and the last, can score."""


def commands(root: Path, checkpoint: Path, given: argparse.Namespace) -> dict[str, list[str]]:
    """Return the command lines to measure, without their output."""
    clips = sorted(str(folder) for folder in (root / "JPEGImages/480p").iterdir())
    network = ["--checkpoint", str(checkpoint), "--raft", given.raft]
    ours = [*network, "--raft-iterations", str(given.iterations)]
    rival = [*network, "--iterations", str(given.iterations)]
    return {
        "predict": ["segmentation.cli", "predict", *clips, *ours],
        "evaluate": ["segmentation.cli", "evaluate", "--dataset", f"davis16={root}", *ours, "--workers", "0"],
        RIVAL: ["benchmarks.published_road", "--davis", str(root), *rival],
    }


def seconds(command: list[str], output: Path) -> float:
    """Run a command with an empty output and return its time by the clock."""
    shutil.rmtree(output, ignore_errors=True)
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", *command, "--output", str(output)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return time.perf_counter() - begun


def main() -> None:
    """Measure and write benchmarks/results/commands.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--davis", type=Path, required=True)
    parser.add_argument("--raft", required=True, help="file with the weights of RAFT")
    parser.add_argument("--iterations", type=int, default=DEFAULT_ITERATIONS, help="updates of RAFT for all sides")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--encoder", default="mit-b0", help="encoder of the random network (default %(default)s)")
    parser.add_argument("--frames", type=int, default=20, help="frames of each val sequence (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="print the figures without writing them")
    given = parser.parse_args()
    given.raft, given.davis = str(Path(given.raft).resolve()), given.davis.resolve()
    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        checkpoint = given.checkpoint.resolve() if given.checkpoint else work / "network"
        if given.checkpoint is None:
            save_network(TwoStreamNetwork(given.encoder, initialization="random"), checkpoint)
        for command in commands(part_of_davis(given.davis, work / "warm", WARM_UP_FRAMES), checkpoint, given).values():
            seconds(command, work / "out")
        root = part_of_davis(given.davis, work / "DAVIS", given.frames)
        frames = len(list((root / "JPEGImages/480p").glob("*/*")))
        for _ in range(given.rounds):
            for name, command in commands(root, checkpoint, given).items():
                rates.setdefault(name, []).append(frames / seconds(command, work / "out"))
    figures: dict[str, Any] = {
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "load_average": os.getloadavg()[0],
        "network": given.encoder if given.checkpoint is None else given.checkpoint.name,
        "raft": Path(given.raft).name,
        "raft_iterations": given.iterations,
        "frames": frames,
        "frames_per_second": {
            name: {"median": round(median(some), 3), "all": [round(rate, 3) for rate in some]}
            for name, some in rates.items()
        },
        "times_faster": {
            name: round(median(a / b for a, b in zip(rates[name], rates[RIVAL], strict=True)), 2)
            for name in ("predict", "evaluate")
        },
    }
    print(figures)
    if not given.quick:
        print(write("commands", figures))


if __name__ == "__main__":
    main()
