"""Frames per second of whole commands, `segmentation predict` and `segmentation evaluate`, beside the published road.

    python -m benchmarks.commands --davis DAVIS --raft raft-small.pth
    python -m benchmarks.commands --davis DAVIS

Everything counts, from the start of the process to its end: imports, weights, decoding, flow, masks and writing; for
`evaluate` also flow on disk and scores, for `predict` also the video with the overlay. The rival is
`benchmarks.published_road`, with the same frames, network, weights of RAFT and number of its iterations, in float32 on
the same device. The three commands alternate, each in a new process and with an empty output, and medians are
compared, by the clock and by processor time, which other processes on a busy machine do not count towards. Without
`--checkpoint` the network has random weights, which take the same time. Each command is run once before on three frames
of each sequence, so that libraries and weights are in the page cache.

Without `--raft`, the flow is there already, and masks alone are measured: `evaluate` with what `segmentation flows`
wrote, and the rival with the same flow as pictures. Figures go to commands.json and masks.json.
"""

from __future__ import annotations

import argparse
import os
import resource
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
from benchmarks.record import ROOT, add_options, publish
from benchmarks.rounds import ratio_of
from segmentation.flow.raft_names import DEFAULT_ITERATIONS
from segmentation.network.checkpoint import save_network
from segmentation.network.model import TwoStreamNetwork

RIVAL = "published road"
WARM_UP_FRAMES = 3
"""The fewest that the protocol of DAVIS-2016, which leaves out the first and the last, can score."""


def commands(root: Path, checkpoint: Path, given: argparse.Namespace, flows: Path) -> dict[str, list[str]]:
    """Return the command lines to measure, without their output.

    Args:
        root: DAVIS tree.
        checkpoint: network of all sides.
        given: arguments of this benchmark.
        flows: folder with the flow of all frames, where flow is not a part of what is measured.
    """
    network = ["--checkpoint", str(checkpoint)]
    evaluate = ["segmentation.cli", "evaluate", *network, "--workers", "0", "--dataset"]
    rival = ["benchmarks.published_road", "--davis", str(root), *network]
    if given.raft is None:
        stored = f"davis16={root}:{flows / 'flows.zarr'}"
        return {"evaluate": [*evaluate, stored], RIVAL: [*rival, "--flows", str(flows / "pictures")]}
    clips = sorted(str(folder) for folder in (root / "JPEGImages/480p").iterdir())
    ours = ["--raft", given.raft, "--raft-iterations", str(given.iterations)]
    return {
        "predict": ["segmentation.cli", "predict", *clips, *network, *ours],
        "evaluate": [*evaluate, f"davis16={root}", *ours],
        RIVAL: [*rival, "--raft", given.raft, "--iterations", str(given.iterations)],
    }


def estimate_flows(root: Path, folder: Path) -> Path:
    """Estimate the flow of all frames by DIS, and store it for both sides."""
    command = ["segmentation.cli", "flows", "--dataset", "davis16", "--root", str(root), "--flow", "dis"]
    seconds([*command, "--workers", "0", "--jpeg", str(folder / "pictures")], folder / "flows.zarr")
    return folder


def seconds(command: list[str], output: Path) -> tuple[float, float]:
    """Run a command with an empty output; return its time by the clock, and the processor time of all its processes."""
    shutil.rmtree(output, ignore_errors=True)
    begun, used = time.perf_counter(), _processor_seconds_of_children()
    done = subprocess.run(
        [sys.executable, "-m", *command, "--output", str(output)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return time.perf_counter() - begun, _processor_seconds_of_children() - used


def _processor_seconds_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Measure and write benchmarks/results/commands.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--davis", type=Path, required=True)
    parser.add_argument("--raft", help="file with the weights of RAFT; without it, flow is not measured")
    parser.add_argument("--iterations", type=int, default=DEFAULT_ITERATIONS, help="updates of RAFT for all sides")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--encoder", default="mit-b0", help="encoder of the random network (default %(default)s)")
    parser.add_argument("--frames", type=int, default=20, help="frames of each val sequence (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    add_options(parser)
    given = parser.parse_args()
    if given.quick:
        given.rounds = min(given.rounds, 2)
    given.raft = None if given.raft is None else str(Path(given.raft).resolve())
    given.davis = given.davis.resolve()
    rates: dict[str, list[float]] = {}
    processor: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        checkpoint = given.checkpoint.resolve() if given.checkpoint else work / "network"
        if given.checkpoint is None:
            save_network(TwoStreamNetwork(given.encoder, initialization="random"), checkpoint)
        lines = []
        for name, frames in (("warm", WARM_UP_FRAMES), ("all", given.frames)):
            root = part_of_davis(given.davis, work / name, frames)
            flows = work / f"flows-{name}"
            if given.raft is None:
                estimate_flows(root, flows)
            lines.append(commands(root, checkpoint, given, flows))
        load = os.getloadavg()[0]
        for command in lines[0].values():
            seconds(command, work / "out")
        frames = len(list((root / "JPEGImages/480p").glob("*/*")))
        for _ in range(given.rounds):
            for name, command in lines[1].items():
                taken, used = seconds(command, work / "out")
                rates.setdefault(name, []).append(frames / taken)
                processor.setdefault(name, []).append(frames / used)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    figures: dict[str, Any] = {
        "device": device,
        "precision": {"ours": "float32" if device == "cpu" else "default of the command", "rival": "float32"},
        "cores": len(os.sched_getaffinity(0)),
        "load_average_before": round(load, 2),
        "network": given.encoder if given.checkpoint is None else given.checkpoint.name,
        "flow": "ready" if given.raft is None else f"{Path(given.raft).name}, {given.iterations} iterations",
        "frames": frames,
        "frames_per_second": {
            name: {"median": round(median(some), 3), "all": [round(rate, 3) for rate in some]}
            for name, some in rates.items()
        },
        "times_faster": {name: ratio_of(some, rates[RIVAL]) for name, some in rates.items() if name != RIVAL},
        "times_faster_by_processor_time": {
            name: ratio_of(some, processor[RIVAL]) for name, some in processor.items() if name != RIVAL
        },
    }
    publish("masks" if given.raft is None else "commands", figures, given)


if __name__ == "__main__":
    main()
