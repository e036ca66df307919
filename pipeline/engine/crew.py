"""The course of tasks on machines: workers are started, lost, replaced, and joined by those of new machines."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from statistics import median
from typing import Any, NamedTuple

from pipeline.engine.machines import Machines, WorkerLostError
from pipeline.engine.placement import Placement, Share, count_fitting, count_of, describe, describe_crew, plan_workers
from pipeline.engine.tasks import Announce, Tasks, WorkerFactory
from pipeline.errors import PipelineError

SECONDS_BETWEEN_LOOKS = 5.0
"""Time between two looks at the cluster, which nodes may have joined."""
SECONDS_OF_PATIENCE = 60.0
"""Time without any running worker after which the user is told what the run waits for."""
LOSSES = 5
"""Number of workers that are lost with one task, or in a row at their start, until that is blamed."""
STRAGGLING = 3.0
"""Time that a task takes, relative to the median of finished ones, after which its worker is replaced at the end."""
SHORTEST_STRAGGLING = 20.0
"""Seconds before which no worker is replaced for being slow."""
_REMEMBERED_TIMES = 1000


def run_on(
    machines: Machines,
    factory: WorkerFactory,
    tasks: Tasks,
    placement: Placement,
    announce: Announce,
    are_alike: bool = False,
) -> Iterator[Any]:
    """Run tasks on machines, and yield their outcomes as they come; see `run_tasks`.

    Raises:
        PipelineError: the machines lack the device or have too few cores, or a worker cannot be started.
    """
    nodes = machines.nodes()
    share, count = plan_workers(nodes, placement)
    announce(f"running on Ray: {describe_crew(nodes, share, min(count, len(tasks)))}")
    crew, waiting = _Crew(machines, factory, share, placement.workers, announce), _Waiting(tasks)
    try:
        while waiting or crew.running:
            crew.recruit(len(waiting))
            crew.hand_out(waiting)
            yield from crew.collect(waiting)
            if are_alike and not waiting:
                crew.replace_stragglers(waiting)
    finally:
        crew.dismiss()


class _Task(NamedTuple):
    """A task and its history.

    Attributes:
        content: the task.
        losses: number of workers that were lost while they had it.
        was_slow: whether it was taken from a straggler.
    """

    content: Any
    losses: int = 0
    was_slow: bool = False


class _Waiting:
    """Tasks that no worker has: first those taken from a worker, then those never given to one."""

    def __init__(self, tasks: Tasks) -> None:
        self._never_out, self._left = iter(tasks), len(tasks)
        self._returned: deque[_Task] = deque()

    def __len__(self) -> int:
        return len(self._returned) + self._left

    def take(self) -> _Task:
        """Remove and return the next task."""
        if self._returned:
            return self._returned.popleft()
        self._left -= 1
        return _Task(next(self._never_out))

    def put_back(self, task: _Task) -> None:
        """Return the task of a worker, so that another worker gets it."""
        self._returned.appendleft(task)


class _Given(NamedTuple):
    """A task that a worker has, and since when."""

    worker: Any
    task: _Task
    since: float


class _Crew:
    """Workers on machines: lost ones are replaced, and more are started when machines join.

    Args:
        machines: where the workers run.
        factory: makes a worker.
        share: share of a machine that each worker gets.
        most: largest number of workers; None = as many as fit.
        announce: told about lost and new workers, and about waiting.

    Attributes:
        running: the tasks that workers have, by the reference of the outcome.
    """

    def __init__(
        self, machines: Machines, factory: WorkerFactory, share: Share, most: int | None, announce: Announce
    ) -> None:
        self.machines, self.factory, self.share, self.most, self.announce = machines, factory, share, most, announce
        self.running: dict[Any, _Given] = {}
        self._starting: dict[Any, Any] = {}  # workers, by the reference of their start
        self._loads: dict[Any, int] = {}
        self._looked = -float("inf")
        self._heard = machines.now()
        self._failed_starts = 0
        self._has_begun = False
        self._times: deque[float] = deque(maxlen=_REMEMBERED_TIMES)

    def recruit(self, waiting: int) -> None:
        """Start as many workers as fit and have tasks, if it is time to look at the cluster again."""
        now = self.machines.now()
        if not waiting or now - self._looked < SECONDS_BETWEEN_LOOKS:
            return
        self._looked = now
        there = len(self._loads) + len(self._starting)
        fitting = count_fitting(self.machines.nodes(), self.share)
        wanted = min(fitting if self.most is None else min(self.most, fitting), waiting + len(self.running))
        if self._has_begun and wanted > there:
            self.announce(f"{count_of(wanted - there, 'more worker')} for machines that joined or came back")
        self._has_begun = True
        for _ in range(wanted - there):
            worker, started = self.machines.start(self.factory, self.share)
            self._starting[started] = worker

    def hand_out(self, waiting: _Waiting) -> None:
        """Give tasks to running workers that can take more, the least busy first."""
        while waiting and self._loads:
            worker = min(self._loads, key=self._loads.__getitem__)
            if self._loads[worker] >= self.share.tasks_in_flight:
                return
            task = waiting.take()
            self.running[self.machines.give(worker, task.content)] = _Given(worker, task, self.machines.now())
            self._loads[worker] += 1

    def collect(self, waiting: _Waiting) -> Iterator[Any]:
        """Wait some seconds for outcomes and yield them; put tasks of lost workers back.

        Raises:
            PipelineError: workers cannot be started, or one after the other is lost with the same task.
        """
        for reference in self.machines.wait([*self._starting, *self.running], SECONDS_BETWEEN_LOOKS):
            given = self.running.get(reference)
            worker = self._starting[reference] if given is None else given.worker
            try:
                outcome = self.machines.outcome(reference)
            except WorkerLostError as error:
                self._lose(worker, str(error), waiting)
                break  # other references may be those of its tasks, which are no longer running
            except Exception:
                if given is None:
                    self.announce(
                        "a worker cannot start; machines must see the same folders and have the same fakeflow"
                    )
                raise
            self._heard = self.machines.now()
            if given is None:
                del self._starting[reference]
                self._failed_starts, self._loads[worker] = 0, 0
                continue
            del self.running[reference]
            self._times.append(self._heard - given.since)
            self._loads[worker] -= 1
            yield outcome
        if not self._loads and self.machines.now() - self._heard > SECONDS_OF_PATIENCE:
            self._heard = self.machines.now()
            self.announce(f"waiting for a machine with {describe(self.share)} to spare")

    def replace_stragglers(self, waiting: _Waiting) -> None:
        """At the end, stop workers that take much longer than the others, and put their tasks back.

        No task waits then, and half of the workers are idle. A task is taken from a straggler only once: if it takes as
        long on another worker, the task itself is slow.
        """
        idle = sum(not load for load in self._loads.values())
        if not self._times or 2 * idle < len(self._loads):
            return
        longest = max(SHORTEST_STRAGGLING, STRAGGLING * median(self._times))
        given_before = self.machines.now() - longest
        late = [one.worker for one in self.running.values() if one.since < given_before and not one.task.was_slow]
        for worker in dict.fromkeys(late):
            for task in self._remove(worker):
                waiting.put_back(task._replace(was_slow=True))
            self.announce("a worker takes much longer than the others; its tasks go to them")

    def dismiss(self) -> None:
        """Stop all workers."""
        for worker in {*self._loads, *self._starting.values()}:
            self.machines.stop(worker)

    def _lose(self, worker: Any, reason: str, waiting: _Waiting) -> None:
        """Put the tasks of a lost worker back."""
        self._failed_starts += worker in self._starting.values()
        tasks = [task._replace(losses=task.losses + 1) for task in self._remove(worker)]
        for task in tasks:
            waiting.put_back(task)
        cannot_start = not self._loads and self._failed_starts >= max(LOSSES, len(self._starting))
        if cannot_start or any(task.losses >= LOSSES for task in tasks):
            raise PipelineError(f"A worker could not be kept running ({reason}). Try --workers 0 to see why.")
        self._looked = -float("inf")
        self.announce("a worker was lost; its tasks go to others")

    def _remove(self, worker: Any) -> list[_Task]:
        """Stop a worker, which may be alive and only out of reach, and return its tasks."""
        self.machines.stop(worker)
        self._loads.pop(worker, None)
        self._starting = {reference: one for reference, one in self._starting.items() if one != worker}
        tasks = [given.task for given in self.running.values() if given.worker == worker]
        self.running = {reference: given for reference, given in self.running.items() if given.worker != worker}
        return tasks
