"""Drive the engine with 64 simulated workers over a million photos: `python -m benchmarks.simulation`.

The engine, the plan and the rows are those of `pipeline run`; machines, workers and time are simulated
(`simulated_machines.py`). The task of a shard takes as long as measured (`results/pipeline.json`: two cores, tiny-dpt).
The machines have 8 GPUs each, whose workers hold several shards at a time. What is reported:

- time of the run relative to perfectly even work, with failures, with stragglers (slow workers, and tasks that hang),
  and with both; that with stragglers also without their replacement;
- whether every photo was reported exactly once;
- processor time of the driver per shard, without that of Ray (`scaling.py` measures it);
- memory of the driver.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.record import RESULTS, write
from benchmarks.scaling import PHOTOS_PER_SHARD, resident_mb, rows, silence
from benchmarks.simulated_machines import Behaviour, SimulatedMachines
from pipeline.dataset.schema import Layout
from pipeline.engine.crew import run_on
from pipeline.engine.placement import Node, Placement, Share
from pipeline.making.plan import ShardTask, ShardTasks
from pipeline.photos.listing import Listing
from pipeline.photos.rows import Rows

WORKERS = 64
START_SECONDS = 10.0
MACHINES, NODE = 8, Node(32, 8)
COURSES = (("none", True), ("failures", True), ("stragglers", True), ("stragglers", False), ("all", True))
"""Kinds of trouble, and whether stragglers are replaced."""
SLOW_WORKERS, SLOWNESS = 4, 10.0
HANGING_TASKS, HANGING_TIMES = 3, 200.0
MACHINE_LIVES_RUNS, WORKER_LIVES_RUNS = 4.0, 2.0


def behaviour(trouble: str, task_seconds: float, shards: int) -> Behaviour:
    """Return how machines behave in a kind of trouble; a machine's life is measured in lengths of the even run."""
    run_seconds = task_seconds * shards / WORKERS
    parts: dict[str, Any] = {}
    if trouble in ("failures", "all"):
        parts |= {"machine_lives_seconds": MACHINE_LIVES_RUNS * run_seconds}
        parts |= {"worker_lives_seconds": WORKER_LIVES_RUNS * run_seconds}
    if trouble in ("stragglers", "all"):
        parts |= {"slow_workers": SLOW_WORKERS, "slowness": SLOWNESS}
        hanging = frozenset(shards * (part + 1) // HANGING_TASKS - 1 for part in range(HANGING_TASKS))
        parts |= {"hanging": hanging, "hanging_seconds": HANGING_TIMES * task_seconds}
    return Behaviour(task_seconds, start_seconds=START_SECONDS, **parts)


@dataclass(frozen=True)
class Noting:
    """A worker that notes the photos of its shard by the numbers in their names."""

    share: Share

    def make(self, task: ShardTask) -> tuple[int, tuple[int, ...]]:
        """Return the number of the shard and those of its photos."""
        return task.shard, tuple(int(row.id[-8:]) for row in task.rows)


class TimedMachines(SimulatedMachines):
    """Simulated machines that measure the processor time that the simulation itself takes."""

    own_seconds = 0.0

    def _timed(self, method: Callable[..., Any], *arguments: Any) -> Any:
        before = time.process_time()
        try:
            return method(*arguments)
        finally:
            self.own_seconds += time.process_time() - before

    def give(self, worker: Any, task: Any) -> int:
        """Queue a task with a worker."""
        reference: int = self._timed(super().give, worker, task)
        return reference

    def wait(self, references: Any, seconds: float) -> Any:
        """Let time pass until a reference is ready."""
        return self._timed(super().wait, references, seconds)

    def outcome(self, reference: int) -> Any:
        """Return the outcome of a task."""
        return self._timed(super().outcome, reference)


def drive(tasks: ShardTasks, trouble: str, are_alike: bool) -> dict[str, Any]:
    """Run the tasks with a kind of trouble; return the figures."""
    photos = tasks.layout.samples
    planned = highest = resident_mb()
    task_seconds = PHOTOS_PER_SHARD / measured("pipeline")["whole_path"]["long"]["photos_per_second"]
    machines = TimedMachines(MACHINES, NODE, WORKERS // MACHINES, behaviour(trouble, task_seconds, len(tasks)))
    reported = bytearray(photos)
    last = 0.0
    started = time.process_time()
    for done, (_, made) in enumerate(run_on(machines, Noting, tasks, Placement(), silence, are_alike)):
        for photo in made:
            reported[photo] += 1
        if done % 100 == 0:
            highest = max(highest, resident_mb())
        if done == int(0.99 * len(tasks)):
            last = machines.clock
    seconds = time.process_time() - started - machines.own_seconds
    even = START_SECONDS + task_seconds * len(tasks) / WORKERS
    return {
        "trouble": trouble,
        "stragglers_are_replaced": are_alike,
        "each_photo_once": reported.count(1) == photos,
        "workers_lost": machines.losses,
        "stragglers_stopped": machines.stopped,
        "shards_given_again": machines.given - len(tasks),
        "simulated_seconds": round(machines.clock),
        "time_over_even": round(machines.clock / even, 3),
        "last_hundredth_over_even": round(100 * (machines.clock - last) / even, 2),
        "driver_ms_per_shard": round(1000 * seconds / len(tasks), 3),
        "running_adds_mb": round(highest - planned, 1),
    }


def measured(name: str) -> dict[str, Any]:
    """Return the figures of a file of results."""
    figures: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return figures


def main() -> None:
    """Drive the cluster through all troubles and write benchmarks/results/simulation.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=1_000_000)
    parser.add_argument("--quick", action="store_true", help="print the figures without writing them")
    given = parser.parse_args()
    before = resident_mb()
    layout = Layout(given.photos, 1, 400, ("x",), PHOTOS_PER_SHARD)
    listing = Listing(Rows(rows(0, given.photos)), "DUTS", "0" * 64)
    tasks = ShardTasks(layout, listing, tuple(range(layout.shard_count)), {})
    figures: dict[str, Any] = {
        "photos": given.photos,
        "photos_per_shard": PHOTOS_PER_SHARD,
        "shards": len(tasks),
        "workers": WORKERS,
        "slow": {"workers": SLOW_WORKERS, "times_slower": SLOWNESS},
        "hanging": {"tasks": HANGING_TASKS, "times_longer": HANGING_TIMES},
        "mean_life_in_runs": {"of a machine": MACHINE_LIVES_RUNS, "of a worker": WORKER_LIVES_RUNS},
        "plan_mb": round(resident_mb() - before, 1),
        "courses": [],
    }
    for trouble, are_alike in COURSES:
        figures["courses"].append(drive(tasks, trouble, are_alike))
        print(json.dumps(figures["courses"][-1]), flush=True)
    if not given.quick:
        print(write("simulation", figures))


if __name__ == "__main__":
    main()
