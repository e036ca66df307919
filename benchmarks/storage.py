"""Measure the room that pairs take beside photos with their flow; writes benchmarks/results/storage.json.

    python -m benchmarks.storage [--quick]

The example photos are made into two datasets with the preset `davis`: of photos, and of pairs (`--frames 2`). All files
of a dataset count, commit records included.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.record import ROOT, environment, write
from pipeline import RunConfig, run

PHOTOS = ROOT / "examples/DUTS"


def mb_per_photo(frames: int, output: Path) -> float:
    """Make a dataset and return its size per photo in MB (10^6 bytes)."""
    settings = RunConfig(input=str(PHOTOS), output=str(output), depth_model="tiny-dpt", frames=frames, workers=0)
    made = run(settings).photos_made_now
    return sum(file.stat().st_size for file in output.rglob("*") if file.is_file()) / 1e6 / made


def main() -> None:
    """Make both datasets and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="print the figures without writing them")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photo, pair = (mb_per_photo(frames, Path(folder) / f"{frames}.zarr") for frames in (1, 2))
    figures: dict[str, Any] = {
        "mb_per_photo": round(photo, 3),
        "mb_per_pair": round(pair, 3),
        "pair_over_photo": round(pair / photo, 3),
    }
    print(json.dumps({"environment": environment(), **figures}, indent=2))
    if not arguments.quick:
        write("storage", figures)


if __name__ == "__main__":
    main()
