"""Costs of the engine: `python -m benchmarks.scaling`.

Scaling: photos per second of two workers relative to one. A stand-in for a photo takes a fixed amount of work on one
core (SHA-256 of 4 MB), and a shard has 64 of them. Rounds of one and of two workers alternate. Time is measured from
the moment when every worker has delivered a shard until the last task is handed out. Two cores are needed.

Overhead: time per shard without work, with 64 rows per shard, from the first outcome to the last.

Memory: a plan of a million rows and one of ten thousand rows, each in a new process with workers that do nothing. The
figures are the memory of the listing, of the plan, and of running all tasks.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.record import ROOT, write
from pipeline.dataset.schema import Layout
from pipeline.dataset.store import DatasetStore
from pipeline.engine.cluster import ray_session
from pipeline.engine.placement import Placement, Share
from pipeline.engine.run_tasks import run_tasks
from pipeline.making.config import RunConfig
from pipeline.making.plan import ShardTask, content_of, make_plan, prepare
from pipeline.photos.listing import Listing
from pipeline.photos.rows import Row, Rows

PHOTOS_PER_SHARD = 64


def rows(start: int, stop: int) -> Iterator[Row]:
    """Yield rows of a listing with names as long as those of DUTS in a bucket."""
    folder = "s3://bucket/DUTS/DUTS-TR/DUTS-TR"
    for index in range(start, stop):
        name = f"ILSVRC2012_test_{index:08d}"
        yield Row(name, f"{folder}-Image/{name}.jpg", f"{folder}-Mask/{name}.png")


@dataclass(frozen=True)
class StandIn:
    """A worker with a fixed amount of work for each photo; with no bytes it does nothing."""

    share: Share
    photo: bytes

    def make(self, task: ShardTask) -> int:
        """Work on the photos of a shard; return the number of the process."""
        if self.photo:
            for _ in task.rows:
                hashlib.sha256(self.photo).digest()
        return os.getpid()


def fixed_work(share: Share) -> StandIn:
    """Start a worker with work."""
    return StandIn(share, bytes(4_000_000))


def no_work(share: Share) -> StandIn:
    """Start a worker without work."""
    return StandIn(share, b"")


@dataclass(frozen=True)
class Shards:
    """A number of tasks, each with its own rows."""

    number: int

    def __len__(self) -> int:
        return self.number

    def __iter__(self) -> Iterator[ShardTask]:
        for shard in range(self.number):
            start = shard * PHOTOS_PER_SHARD
            yield ShardTask(shard, tuple(rows(start, start + PHOTOS_PER_SHARD)))


def silence(sentence: str) -> None:
    """Say nothing."""


def photos_per_second(workers: int, shards: int) -> float:
    """Return the photos per second of workers with fixed work, while all of them run."""
    seen: set[int] = set()
    counted, started = 0, 0.0
    with closing(run_tasks(fixed_work, Shards(10 * shards), Placement(workers, "cpu"), silence)) as outcomes:
        for worker in outcomes:
            counted += bool(started)
            seen.add(worker)
            if not started and len(seen) == workers:
                started = time.perf_counter()
            if counted == shards:
                return PHOTOS_PER_SHARD * counted / (time.perf_counter() - started)
    raise SystemExit("a worker never delivered a shard; make sure that there is one core per worker")


def overhead_ms(workers: int, shards: int) -> float:
    """Return the milliseconds per shard without work."""
    with closing(run_tasks(no_work, Shards(shards), Placement(workers, "cpu"), silence)) as outcomes:
        next(outcomes)
        started = time.perf_counter()
        done = sum(1 for _ in outcomes)
        return 1000 * (time.perf_counter() - started) / done


def resident_mb() -> float:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def memory_of_a_plan(samples: int) -> dict[str, float]:
    """List photos, plan them, and run all tasks on an idle Ray worker; return the memory that each step adds."""
    with tempfile.TemporaryDirectory() as folder, ray_session():
        list(run_tasks(no_work, Shards(50), Placement(1, "cpu"), silence))
        before = resident_mb()
        listing = Listing(Rows(rows(0, samples)), "DUTS", "0" * 64)
        listed = resident_mb()
        store = DatasetStore(f"{folder}/x.zarr")
        settings = RunConfig(input="s3://bucket/DUTS", output=store.url)
        prepare(store, content_of(settings, listing, {}), listing, Layout(samples, 1, 400, ("x",), PHOTOS_PER_SHARD))
        plan = make_plan(store, listing, retry_failed=False)
        planned = highest = resident_mb()
        for number, _ in enumerate(run_tasks(no_work, plan.tasks, Placement(1, "cpu"), silence)):
            if number % 100 == 0:
                highest = max(highest, resident_mb())
    return {
        "samples": samples,
        "shards": len(plan.tasks),
        "listing_mb": round(listed - before, 1),
        "plan_adds_mb": round(planned - listed, 1),
        "running_adds_mb": round(highest - planned, 1),
    }


def in_own_process(samples: int) -> dict[str, Any]:
    """Measure a plan's memory in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.scaling", "--plan", str(samples)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    """Measure and write benchmarks/results/scaling.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shards", type=int, default=40, help="shards with work per measurement")
    parser.add_argument("--empty-shards", type=int, default=2000)
    parser.add_argument("--plan", type=int, help="measure only the memory of a plan with this number of rows")
    given = parser.parse_args()
    if given.plan:
        print(json.dumps(memory_of_a_plan(given.plan)))
        return
    load = os.getloadavg()[0]
    one, two = [], []
    overheads: dict[str, list[float]] = {"in this process": [], "1 Ray worker": [], "2 Ray workers": []}
    with ray_session():
        for _ in range(given.rounds):
            one.append(photos_per_second(1, given.shards))
            two.append(photos_per_second(2, given.shards))
            for workers, measured in enumerate(overheads.values()):
                measured.append(overhead_ms(workers, given.empty_shards))
    ratios = [second / first for first, second in zip(one, two, strict=True)]
    figures = {
        "load_average_before": round(load, 2),
        "fixed_work_per_photo": {
            "photos_per_second_of_1_worker": round(median(one), 1),
            "photos_per_second_of_2_workers": round(median(two), 1),
            "2_over_1": {"median": round(median(ratios), 3), "all": [round(ratio, 3) for ratio in ratios]},
        },
        "overhead_ms_per_shard": {
            name: {"median": round(median(measured), 3), "all": [round(each, 3) for each in measured]}
            for name, measured in overheads.items()
        },
        "memory": [in_own_process(samples) for samples in (10_000, 1_000_000)],
    }
    print(json.dumps(figures, indent=2))
    print(write("scaling", figures))


if __name__ == "__main__":
    main()
