"""Robustness against flipped bits, kills, damaged photos and failing stores: `python -m benchmarks.robustness`.

The sections can be run by name:

- `verify`: one bit is flipped at a time. Half of the places are drawn evenly over all bytes of a dataset, the other
  half evenly over all files, so that small files are covered. A flip counts as found if `verify` names the changed file
  and no other.
- `kills_at_seconds`, `kills_at_operations`, `kills_on_ray`: runs are killed at random moments and continued
  (`benchmarks.kills`).
- `photos`: a run on a thousand damaged photos and masks (`benchmarks.mutations`), and on as many undamaged ones.
- `object_store`: a run on S3 (moto's server) where 5 % of the requests fail, and one where none fails.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.kills import SETTINGS, KilledRuns, Outcome, Silent
from benchmarks.mutations import run_over, write_mutated_tree
from benchmarks.pieces import write_tree
from benchmarks.record import RESULTS, ROOT, environment
from pipeline.checking.verify import verify
from pipeline.making.config import RunConfig
from pipeline.making.run import run

MOMENTS = {"at_seconds": 20, "at_operations": 20, "on_ray": 10}
PHOTOS_OF_A_KILLED_RUN = 12
PLACES = 200
MUTATED_PHOTOS = 1000
MAY_HANG_S = 3600.0
FAULTS = 0.05


def flipped_bits_found(dataset: Path, places: int, seed: int = 0) -> int:
    """Flip one bit at a time in several places; return how many flips `verify` finds in the right file."""
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


def verify_section(folder: Path) -> dict[str, Any]:
    """Flip bits of a dataset of the example photos."""
    output = folder / "x.zarr"
    settings = {"depth_model": "tiny-dpt", "motion": "camera+object", "samples_per_shard": 2, "workers": 0}
    run(RunConfig(input=str(ROOT / "examples/DUTS"), output=str(output), **settings), Silent())  # type: ignore[arg-type]
    files = [path for path in output.rglob("*") if path.is_file()]
    started = time.perf_counter()
    intact = verify(str(output), Silent(), all_rows=True)
    seconds = time.perf_counter() - started
    return {
        "files": len(files),
        "bytes": sum(path.stat().st_size for path in files),
        "intact_dataset_is_called_intact": intact.is_whole,
        "verify_all_seconds": round(seconds, 2),
        "bits_flipped": PLACES,
        "bits_found": flipped_bits_found(output, PLACES),
    }


def kills_section(way: str, folder: Path) -> dict[str, Any]:
    """Kill runs in one of three ways, and continue them."""
    runs = KilledRuns(write_tree(folder / "DUTS", PHOTOS_OF_A_KILLED_RUN, 64), folder)
    outcomes: list[Outcome] = getattr(runs, way)(MOMENTS[way])
    return {
        "photos": PHOTOS_OF_A_KILLED_RUN,
        "moments": len(outcomes),
        "victims": Counter(outcome.victim for outcome in outcomes),
        "left": Counter(outcome.state for outcome in outcomes),
        "exit_codes": Counter(f"{outcome.victim}: {outcome.exit_code}" for outcome in outcomes),
        "lost": sum(outcome.lost for outcome in outcomes),
        "damaged": sum(outcome.damaged for outcome in outcomes),
        "duplicated": sum(outcome.duplicated for outcome in outcomes),
    }


def photos_section(folder: Path) -> dict[str, Any]:
    """Run on damaged photos, and on the same photos undamaged."""
    figures = {}
    for name in ("mutated", "whole"):
        photos = write_mutated_tree(folder / name, MUTATED_PHOTOS, whole=name == "whole")
        figures[name] = run_over(photos, folder / f"{name}.zarr", MAY_HANG_S)
    memory = figures["mutated"]["peak_memory_mb"] / figures["whole"]["peak_memory_mb"]
    return {**figures, "peak_memory_mutated_over_whole": round(memory, 2)}


def object_store_section(folder: Path) -> dict[str, Any]:
    """Run on an object store that fails now and then, and on one that does not."""
    import pytest  # the server from the tests

    from tests.pipeline.faulty_s3 import BUCKET, faulty_s3

    photos = str(write_tree(folder / "DUTS", PHOTOS_OF_A_KILLED_RUN, 64))
    figures: dict[str, Any] = {}
    stored: dict[str, dict[str, bytes]] = {}
    for name, share in (("without_faults", 0.0), ("with_faults", FAULTS)):
        with pytest.MonkeyPatch.context() as patch, faulty_s3(patch) as server:
            import s3fs

            source, output = f"{BUCKET}/DUTS", f"{BUCKET}/x.zarr"
            s3fs.S3FileSystem().put(photos, source, recursive=True)
            server.injected.clear()
            server.share = share
            started = time.monotonic()
            run(RunConfig(input=f"s3://{source}", output=f"s3://{output}", workers=0, **SETTINGS), Silent())
            seconds = time.monotonic() - started
            server.share = 0
            faults = {kind: count for kind, count in sorted(server.injected.items()) if kind}
            figures[name] = {
                "requests": server.injected.total(),
                "faults": faults,
                "faults_in_all": sum(faults.values()),
                "seconds": round(seconds, 1),
            }
            filesystem = s3fs.S3FileSystem(use_listings_cache=False)
            keys = [key for key in filesystem.find(output) if "/runs/" not in key]
            stored[name] = {key: filesystem.cat_file(key) for key in keys}
    without, with_faults = figures["without_faults"], figures["with_faults"]
    return {
        **figures,
        "share_of_faults": FAULTS,
        "objects": len(stored["with_faults"]),
        "same_bytes": stored["with_faults"] == stored["without_faults"],
        "requests_more": with_faults["requests"] - without["requests"],
    }


SECTIONS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "verify": verify_section,
    **{f"kills_{way}": partial(kills_section, way) for way in MOMENTS},
    "photos": photos_section,
    "object_store": object_store_section,
}


def main() -> None:
    """Measure, and write each finished section to benchmarks/results/robustness.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"sections to run (default: {', '.join(SECTIONS)})"
    )
    path = RESULTS / "robustness.json"
    sections = parser.parse_args().sections or list(SECTIONS)
    if unknown := set(sections) - SECTIONS.keys():
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    for name in sections:
        with tempfile.TemporaryDirectory() as folder:
            figures = SECTIONS[name](Path(folder))
        print(name, json.dumps(figures))
        results = json.loads(path.read_text()) if path.exists() else {}
        results[name] = {**figures, "environment": environment()}
        path.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
