"""Files of results: figures of a benchmark with commit, device and versions, as JSON in benchmarks/results/."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).parents[1]


def environment() -> dict[str, Any]:
    """Return the commit, the device and the versions of the libraries that matter."""
    import torch

    commit, changed = (_git(*words) for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "-uno")))
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        processor = names[0] if names else processor
    versions = {}
    packages = ("torch", "transformers", "timm", "numpy", "numba", "zarr", "ray", "opencv-python-headless")
    for package in (*packages, "scikit-learn"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "absent"
    return {
        "commit": (commit or "unknown") + ("+changes" if changed else ""),
        "processor": f"{processor}, {len(os.sched_getaffinity(0))} cores",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "versions": versions,
    }


def _git(*words: str) -> str:
    """Return the answer of git about this repository; nothing where there is no git, or no repository."""
    try:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def write(name: str, figures: dict[str, Any], folder: Path = RESULTS) -> Path:
    """Write figures and environment to `<folder>/<name>.json`, or to `<name>_gpu.json` if there is a GPU."""
    folder.mkdir(parents=True, exist_ok=True)
    measured_on = environment()
    path = folder / f"{name}{'' if measured_on['gpu'] is None else '_gpu'}.json"
    path.write_text(json.dumps({"environment": measured_on, **figures}, indent=2) + "\n")
    return path


def add_options(parser: argparse.ArgumentParser, quick: str = "take few rounds") -> None:
    """Add the options that say how much is measured and where the figures go.

    Args:
        parser: parser of a benchmark.
        quick: what a quick run does with less.
    """
    parser.add_argument(
        "--quick", action="store_true", help=f"{quick}, and write no file unless --output names a folder"
    )
    parser.add_argument("--output", type=Path, help="folder of the JSON file (default benchmarks/results)")


def publish(name: str, figures: dict[str, Any], given: argparse.Namespace) -> None:
    """Print figures and write them where the options of `add_options` say."""
    print(json.dumps(figures, indent=2))
    if given.output is not None or not given.quick:
        print(write(name, figures, given.output or RESULTS))
