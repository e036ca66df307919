"""Seconds that a user waits for small commands: `python -m benchmarks.waits`.

Each command runs in a new process, with libraries and weights in the page cache; the commands alternate. Beside the
time by the clock stands the processor time, which suffers less from other work on the machine.
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

from benchmarks.record import ROOT, write

EXAMPLES = str(ROOT / "examples/DUTS")


def waits(folder: Path) -> dict[str, list[str]]:
    """Return the commands by what they show; `made.zarr` exists when they run, `new.zarr` does not."""
    run = ["run", "--input", EXAMPLES, "--depth-model", "tiny-dpt"]
    return {
        "help page": ["run", "--help"],
        "mistake": ["run", "--input", str(folder / "absent"), "--output", str(folder / "new.zarr")],
        "status": ["status", str(folder / "made.zarr")],
        "run of a finished dataset": [*run, "--output", str(folder / "made.zarr")],
        "run on seven photos": [*run, "--output", str(folder / "new.zarr")],
    }


def measure(command: list[str], folder: Path) -> tuple[float, float]:
    """Run a command; return its seconds by the clock and of the processor."""
    shutil.rmtree(folder / "new.zarr", ignore_errors=True)
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-m", "pipeline.cli", *command], cwd=ROOT, capture_output=True, check=False)
    clock, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return clock, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and write benchmarks/results/waits.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="print the figures without writing them")
    given = parser.parse_args()
    seconds: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = waits(folder)["run on seven photos"][:-1]
        subprocess.run([sys.executable, "-m", "pipeline.cli", *made, str(folder / "made.zarr")], cwd=ROOT, check=True)
        for _ in range(given.rounds):
            for what, command in waits(folder).items():
                seconds.setdefault(what, []).append(measure(command, folder))
    figures: dict[str, Any] = {
        "load_average": os.getloadavg()[0],
        "seconds": {
            what: {
                "clock": round(median(clock for clock, _ in some), 2),
                "processor": round(median(processor for _, processor in some), 2),
                "clock_all": [round(clock, 2) for clock, _ in some],
            }
            for what, some in seconds.items()
        },
    }
    print(figures)
    if not given.quick:
        print(write("waits", figures))


if __name__ == "__main__":
    main()
