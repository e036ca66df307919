"""Files of results: figures of a benchmark with commit, device and versions, as JSON in benchmarks/results/."""

from __future__ import annotations

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

    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    changed = subprocess.run(
        ["git", "status", "--porcelain", "-uno"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout
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
        "commit": commit.strip() + ("+changes" if changed.strip() else ""),
        "processor": f"{processor}, {len(os.sched_getaffinity(0))} cores",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "versions": versions,
    }


def write(name: str, figures: dict[str, Any]) -> Path:
    """Write figures and environment to benchmarks/results/<name>.json, or to <name>_gpu.json if there is a GPU."""
    RESULTS.mkdir(exist_ok=True)
    measured_on = environment()
    path = RESULTS / f"{name}{'' if measured_on['gpu'] is None else '_gpu'}.json"
    path.write_text(json.dumps({"environment": measured_on, **figures}, indent=2) + "\n")
    return path
