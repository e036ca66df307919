"""A cluster in simulated time, with the interface that the engine has to Ray.

Workers are real objects in this process; the time that they take, and when they are lost, is simulated.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.engine.machines import WorkerLostError
from pipeline.engine.placement import Node, Share
from pipeline.engine.tasks import WorkerFactory


@dataclass(frozen=True)
class Behaviour:
    """How simulated machines behave. All times are in seconds of the simulation.

    Attributes:
        task_seconds: time that a worker takes for one task; a worker does one task after the other.
        spread: standard deviation of the logarithm of that time.
        start_seconds: time that a worker takes to start.
        slow_workers: number of the workers' places that are slow, the last ones.
        slowness: time of a task in a slow place, relative to others.
        machine_lives_seconds: mean time until a machine fails with all its workers; infinite = never.
        machine_away_seconds: time after which a failed machine comes back.
        worker_lives_seconds: mean time until a single worker is lost; infinite = never.
        hanging: numbers of the tasks, as they are given out, that hang on the worker that gets them first.
        hanging_seconds: time that such a task takes there; infinite = for ever.
    """

    task_seconds: float
    spread: float = 0.1
    start_seconds: float = 10.0
    slow_workers: int = 0
    slowness: float = 1.0
    machine_lives_seconds: float = math.inf
    machine_away_seconds: float = 60.0
    worker_lives_seconds: float = math.inf
    hanging: frozenset[int] = frozenset()
    hanging_seconds: float = math.inf


@dataclass(eq=False)
class SimulatedWorker:
    """A worker in one place of a machine; `free_at` is the time at which it has done all its tasks."""

    place: int
    factory: WorkerFactory
    share: Share
    free_at: float
    is_lost: bool = False
    hosted: Any = None
    references: list[int] = field(default_factory=list)


class SimulatedMachines:
    """Equal machines that start workers and have them do tasks, in simulated time.

    Args:
        machines: number of machines.
        node: cores and GPUs of each.
        workers_per_machine: number of workers that fit on a machine.
        behaviour: times and losses.
        seed: seed of the times and losses.

    Attributes:
        losses: number of workers that were lost.
        stopped: number of workers that were stopped while they had tasks.
        given: number of tasks that were given to workers.
        clock: seconds since the start.
    """

    def __init__(
        self, machines: int, node: Node, workers_per_machine: int, behaviour: Behaviour, seed: int = 0
    ) -> None:
        self.behaviour, self.node, self.workers_per_machine = behaviour, node, workers_per_machine
        self.clock = 0.0
        self.losses = self.stopped = 0
        self._random = random.Random(seed)
        self._places: list[SimulatedWorker | None] = [None] * (machines * workers_per_machine)
        self._away: set[int] = set()
        self._events: list[tuple[float, int, str, Any]] = []
        self._number = self.given = 0
        self._tasks: dict[int, tuple[SimulatedWorker, Any]] = {}
        self._ready: dict[int, None] = {}
        for machine in range(machines):
            self._plan_failure(machine)

    def nodes(self) -> list[Node]:
        """Return the live machines."""
        machines = len(self._places) // self.workers_per_machine
        return [self.node for machine in range(machines) if machine not in self._away]

    def start(self, factory: WorkerFactory, share: Share) -> tuple[SimulatedWorker, int]:
        """Begin to start a worker in the first free place, or one that never starts if no place is free."""
        free = (
            place
            for place, worker in enumerate(self._places)
            if worker is None and place // self.workers_per_machine not in self._away
        )
        place = next(free, -1)
        worker = SimulatedWorker(place, factory, share, self.clock + self.behaviour.start_seconds)
        reference = self._refer(worker, None)
        if place >= 0:
            self._places[place] = worker
            self._plan(worker.free_at, "done", reference)
            if math.isfinite(self.behaviour.worker_lives_seconds):
                lives = self._random.expovariate(1 / self.behaviour.worker_lives_seconds)
                self._plan(self.clock + lives, "lost", worker)
        return worker, reference

    def give(self, worker: SimulatedWorker, task: Any) -> int:
        """Queue a task with a worker."""
        reference = self._refer(worker, task)
        seconds = self.behaviour.task_seconds * self._random.lognormvariate(0, self.behaviour.spread)
        if worker.place >= len(self._places) - self.behaviour.slow_workers:
            seconds *= self.behaviour.slowness
        if self.given in self.behaviour.hanging:
            seconds = self.behaviour.hanging_seconds
        self.given += 1
        worker.free_at = max(self.clock, worker.free_at) + seconds
        if worker.is_lost:
            self._ready[reference] = None
        elif math.isfinite(worker.free_at):
            self._plan(worker.free_at, "done", reference)
        return reference

    def wait(self, references: Sequence[int], seconds: float) -> Sequence[int]:
        """Let time pass until a reference is ready, but no longer than some seconds."""
        until = self.clock + seconds
        while not self._ready:
            if not self._events or self._events[0][0] > until:
                self.clock = until
                return ()
            self.clock, _, kind, what = heapq.heappop(self._events)
            self._happen(kind, what)
        return (next(iter(self._ready)),)

    def outcome(self, reference: int) -> Any:
        """Return the outcome of a task, which the worker does now.

        Raises:
            WorkerLostError: the worker is lost, or its `make` says that it is.
        """
        del self._ready[reference]
        worker, task = self._tasks.pop(reference)
        if worker.is_lost:
            raise WorkerLostError("simulated")
        if task is None:
            worker.hosted = worker.factory(worker.share)
            outcome = None
        else:
            try:
                outcome = worker.hosted.make(task)
            except WorkerLostError:
                self._lose(worker)
                del self._ready[reference]
                raise
        worker.references.remove(reference)
        return outcome

    def stop(self, worker: SimulatedWorker) -> None:
        """End a worker."""
        self.stopped += not worker.is_lost and bool(worker.references)
        self._end(worker)
        for reference in worker.references:
            self._ready.pop(reference, None)
            self._tasks.pop(reference, None)
        worker.references.clear()

    def now(self) -> float:
        """Return the simulated time."""
        return self.clock

    def _refer(self, worker: SimulatedWorker, task: Any) -> int:
        self._number += 1
        self._tasks[self._number] = worker, task
        worker.references.append(self._number)
        return self._number

    def _plan(self, at: float, kind: str, what: Any) -> None:
        self._number += 1
        heapq.heappush(self._events, (at, self._number, kind, what))

    def _plan_failure(self, machine: int) -> None:
        if math.isfinite(self.behaviour.machine_lives_seconds):
            lives = self._random.expovariate(1 / self.behaviour.machine_lives_seconds)
            self._plan(self.clock + lives, "fails", machine)

    def _happen(self, kind: str, what: Any) -> None:
        if kind == "done" and what in self._tasks:
            self._ready[what] = None
        elif kind == "lost" and not what.is_lost:
            self._lose(what)
        elif kind == "fails":
            first = what * self.workers_per_machine
            self._away.add(what)
            for worker in self._places[first : first + self.workers_per_machine]:
                if worker is not None:
                    self._lose(worker)
            self._plan(self.clock + self.behaviour.machine_away_seconds, "returns", what)
        elif kind == "returns":
            self._away.discard(what)
            self._plan_failure(what)

    def _lose(self, worker: SimulatedWorker) -> None:
        self.losses += 1
        self._end(worker)
        self._ready |= dict.fromkeys(worker.references)

    def _end(self, worker: SimulatedWorker) -> None:
        worker.is_lost = True
        if worker.place >= 0 and self._places[worker.place] is worker:
            self._places[worker.place] = None
