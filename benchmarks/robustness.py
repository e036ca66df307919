"""What `pipeline verify` finds: `python -m benchmarks.robustness`.

A dataset is made from the example photos; then one bit is flipped at a time, half of the places drawn evenly over all
bytes, half evenly over all files, so that small files have their share. A flip counts as found if `verify` names the
very file that was changed, and no other.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.record import ROOT, write
from pipeline.config import RunConfig
from pipeline.run import run
from pipeline.verify import verify


class Silent:
    """Watch and say nothing."""

    def announce(self, sentence: str) -> None:
        """Do nothing."""

    def update(self, to_do: int, done: int, failed: int) -> None:
        """Do nothing."""


def flipped_bits_found(dataset: Path, places: int, seed: int = 0) -> int:
    """Flip one bit in each of several places, one at a time; return how many `verify` finds where they are."""
    rng = np.random.default_rng(seed)
    files = sorted(path for path in dataset.rglob("*") if path.is_file() and path.stat().st_size)
    sizes = np.array([path.stat().st_size for path in files], float)
    chosen = [int(rng.choice(len(files), p=sizes / sizes.sum())) for _ in range(places // 2)]
    chosen += [int(rng.integers(len(files))) for _ in range(places - len(chosen))]
    found = 0
    for index in chosen:
        path = files[index]
        whole = path.read_bytes()
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        named = {finding.key for finding in verify(str(dataset), Silent()).findings}
        found += named == {path.relative_to(dataset).as_posix()}
        path.write_bytes(whole)
    return found


def main() -> None:
    """Make the dataset, flip bits, write benchmarks/results/robustness.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--places", type=int, default=200)
    places = parser.parse_args().places
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "x.zarr"
        settings = {"depth_model": "tiny-dpt", "motion": "camera+object", "samples_per_shard": 2, "workers": 0}
        run(RunConfig(input=str(ROOT / "examples/DUTS"), output=str(output), **settings), Silent())  # type: ignore[arg-type]
        files = [path for path in output.rglob("*") if path.is_file()]
        started = time.perf_counter()
        intact = verify(str(output), Silent(), all_rows=True)
        seconds = time.perf_counter() - started
        figures = {
            "files": len(files),
            "bytes": sum(path.stat().st_size for path in files),
            "intact_dataset_is_called_intact": intact.is_whole,
            "verify_all_seconds": round(seconds, 2),
            "bits_flipped": places,
            "bits_found": flipped_bits_found(output, places),
        }
    print(write("robustness", {"verify": figures}), figures)


if __name__ == "__main__":
    main()
