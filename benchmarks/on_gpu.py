"""Measure everything about GPUs in one command: `python -m benchmarks.on_gpu --minutes 8 --output DIR`.

Parts run one after the other in order of importance, each in a process of its own with a limit of time. Figures are
written to DIR/<part>.json as they come, so that a part that is cut off leaves what it has measured. DIR/on_gpu.json
says how each part ended, and DIR/<part>.log holds what it printed. No network is used: depth networks have their true
size and random weights. torch, transformers, timm, NumPy and jaxtyping suffice for a beginning; parts that need
packages which are missing, such as zarr, are skipped and say so. Ray is not needed.

    python -m benchmarks.on_gpu --dry-run --output DIR

tries all of it on a CPU with tiny sizes; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.record import ROOT, environment

KERNELS = ("numba", "jaxtyping")
DEPTH = ("transformers", "safetensors", "PIL", "jaxtyping")
DATASETS = ("zarr", "numcodecs", "fsspec", "filelock", "google_crc32c", "cv2", "typer", "rich", *KERNELS, *DEPTH)
SHORTEST_S = 5
"""A part is not begun with less time than this."""


@dataclass(frozen=True)
class Part:
    """One part of the measurement.

    Attributes:
        name: name of the part and of its file.
        work: module and function that yields names and figures.
        limit_s: longest time on a GPU.
        needs: packages without which it is skipped, by the names under which they are imported.
        arguments: keyword arguments of the function.
    """

    name: str
    work: str
    limit_s: int
    needs: tuple[str, ...]
    arguments: Mapping[str, str] = field(default_factory=dict)


PARTS = (
    Part("flow", "benchmarks.on_gpu_parts:measure_flow", 45, KERNELS),
    Part("depth", "benchmarks.on_gpu_depth:measure_depth", 210, DEPTH),
    *(
        Part(f"pipeline-{name}", "benchmarks.on_gpu_parts:measure_pipeline", 90, DATASETS, {"network": name})
        for name in ("dpt-large", "dpt-hybrid")
    ),
    Part("frames", "benchmarks.on_gpu_parts:measure_frames", 45, ("cv2", *KERNELS, *DEPTH)),
    Part("raft", "benchmarks.on_gpu_parts:measure_raft", 45, ("torchvision", "cv2", *KERNELS)),
    Part("training-step", "benchmarks.on_gpu_parts:measure_training_step", 75, ("timm", *DATASETS)),
    Part("prediction", "benchmarks.on_gpu_parts:measure_prediction", 75, ("torchvision", "timm", *DATASETS)),
    Part("loader", "benchmarks.on_gpu_parts:measure_loading", 60, ("torchvision", "timm", *DATASETS)),
    Part("tests", "benchmarks.on_gpu_parts:run_gpu_tests", 180, ("pytest", "hypothesis", "beartype", *DATASETS)),
)


def main() -> None:
    """Run all parts, or one of them in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8, help="time for all parts together (default %(default)s)")
    parser.add_argument("--output", type=Path, required=True, help="folder of the results")
    parser.add_argument("--dry-run", action="store_true", help="try everything on the CPU with tiny sizes")
    parser.add_argument("--part", choices=[part.name for part in PARTS], help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    if given.part:
        run_part(next(part for part in PARTS if part.name == given.part), given.output, given.dry_run)
        return
    if not given.dry_run and not has_gpu():
        sys.exit("torch sees no GPU on this machine; `--dry-run` tries everything on the CPU with tiny sizes.")
    states = run_all(given.output, 60 * given.minutes, given.dry_run)
    sys.exit(1 if any(state["state"] == "failed" for state in states.values()) else 0)


def has_gpu() -> bool:
    """Return whether torch sees a GPU."""
    import torch

    return torch.cuda.is_available()


def run_all(output: Path, seconds: float, is_dry: bool) -> dict[str, dict[str, Any]]:
    """Run all parts while there is time, and say after each how it ended."""
    end = time.monotonic() + seconds
    states: dict[str, dict[str, Any]] = {}
    for part in PARTS:
        begun = time.monotonic()
        left = end - begun
        state = run_bounded(part, output, left if is_dry else min(part.limit_s, left), is_dry)
        states[part.name] = {**state, "seconds": round(time.monotonic() - begun, 1)}
        write_whole(output / "on_gpu.json", {"environment": environment(), "is_dry_run": is_dry, "parts": states})
        reason = f", {state['reason']}" if "reason" in state else ""
        print(f"{part.name}: {state['state']} after {states[part.name]['seconds']} s{reason}", flush=True)
    return states


def run_bounded(part: Part, output: Path, limit_s: float, is_dry: bool) -> dict[str, Any]:
    """Run a part in a process of its own, and end it and its children when its time is over."""
    if missing := missing_packages(part.needs):
        return {"state": "skipped", "reason": f"needs {' and '.join(missing)}, which this machine lacks"}
    if limit_s < SHORTEST_S:
        return {"state": "skipped", "reason": "no time was left"}
    command = [sys.executable, "-m", "benchmarks.on_gpu", "--part", part.name, "--output", str(output.resolve())]
    command += ["--dry-run"] if is_dry else []
    # cuBLAS reads this when it starts; deterministic training needs it.
    variables = {**os.environ, "CUBLAS_WORKSPACE_CONFIG": ":4096:8"} | ({"CUDA_VISIBLE_DEVICES": ""} if is_dry else {})
    with (output / f"{part.name}.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=variables, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return {"state": "cut off", "reason": f"took more than {limit_s:.0f} s"}
    if code == 0:
        return {"state": "done"}
    lines = (output / f"{part.name}.log").read_text(errors="replace").strip().splitlines()
    return {"state": "failed", "reason": lines[-1] if lines else f"exit code {code}"}


def missing_packages(needs: Iterable[str]) -> list[str]:
    """Return the packages that are not installed."""
    return [name for name in dict.fromkeys(needs) if find_spec(name) is None]


def run_part(part: Part, output: Path, is_dry: bool) -> None:
    """Run a part in this process, on the GPU or, in a dry run, on the CPU."""
    from benchmarks.on_gpu_timing import Bench

    module, function = part.work.split(":")
    work = partial(getattr(importlib.import_module(module), function), **part.arguments)
    bench = Bench("cpu" if is_dry else "cuda", is_dry)
    write_as_they_come(output / f"{part.name}.json", {"environment": environment(), "is_dry_run": is_dry}, work(bench))


def write_as_they_come(path: Path, head: Mapping[str, Any], found: Iterable[tuple[str, Any]]) -> None:
    """Write figures after each that comes; `is_complete` becomes true after the last."""
    figures: dict[str, Any] = {}
    for name, value in found:
        figures[name] = value
        write_whole(path, {**head, "is_complete": False, "figures": figures})
        print(name, value, flush=True)
    write_whole(path, {**head, "is_complete": True, "figures": figures})


def write_whole(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file so that it is never seen half written."""
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(content, indent=2) + "\n")
    unfinished.replace(path)


if __name__ == "__main__":
    main()
