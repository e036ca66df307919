"""Workers on Ray: their start, their tasks, their loss, and the machines that join during a run."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipeline.engine.cluster import go_to, live_nodes
from pipeline.engine.placement import Placement, Share, count_fitting, count_of, describe, describe_crew, plan_workers
from pipeline.engine.tasks import Announce, Tasks, WorkerFactory
from pipeline.errors import PipelineError
from pipeline.redaction import hide, redact_output, remembered

SECONDS_BETWEEN_LOOKS = 5.0
"""Time between two looks at the cluster, which nodes may have joined."""
SECONDS_OF_PATIENCE = 60.0
"""Time without any running worker after which the user is told what the run waits for."""
LOSSES_IN_A_ROW = 5
"""Number of workers that are lost without a finished task until the tasks are blamed, not the cluster."""


def run_on_ray(factory: WorkerFactory, tasks: Tasks, placement: Placement, announce: Announce) -> Iterator[Any]:
    """Run tasks on the Ray of this process, and yield their outcomes as they come.

    Raises:
        PipelineError: the cluster lacks the device or has too few cores, or a worker cannot be started.
    """
    from ray.exceptions import RayTaskError

    nodes = live_nodes()
    share, count = plan_workers(nodes, placement)
    announce(f"running on Ray: {describe_crew(nodes, share, min(count, len(tasks)))}")
    crew, waiting = _Crew(factory, share, placement.workers, announce), _Waiting(tasks)
    try:
        while waiting or crew.running:
            crew.recruit(len(waiting))
            crew.hand_out(waiting)
            yield from crew.collect(waiting)
    except RayTaskError as error:
        raise error.cause or error from None
    finally:
        crew.dismiss()


def ask(question: Callable[[], Any], placement: Placement) -> Any:
    """Call a function on a machine of the Ray of this process, with the share of one worker.

    Raises:
        PipelineError: no machine takes work. Errors of the function pass.
    """
    import ray
    from ray.exceptions import RayTaskError

    share, _ = plan_workers(live_nodes(), placement)
    answer = ray.remote(num_cpus=share.cpus, num_gpus=share.gpus)(_answer)
    try:
        return ray.get(answer.remote(question, Path.cwd(), remembered()))
    except RayTaskError as error:
        raise error.cause or error from None


def _answer(question: Callable[[], Any], folder: Path, secrets: tuple[str, ...]) -> Any:
    _settle(folder, secrets)
    return question()


class _Waiting:
    """Tasks that no worker has: first those of lost workers, then those never given to a worker."""

    def __init__(self, tasks: Tasks) -> None:
        self._never_out, self._left = iter(tasks), len(tasks)
        self._lost: deque[Any] = deque()

    def __len__(self) -> int:
        return len(self._lost) + self._left

    def take(self) -> Any:
        """Remove and return the next task."""
        if self._lost:
            return self._lost.popleft()
        self._left -= 1
        return next(self._never_out)

    def put_back(self, task: Any) -> None:
        """Return the task of a lost worker, so that another worker gets it."""
        self._lost.appendleft(task)


class _Crew:
    """Workers on Ray: lost ones are replaced, and more are started when machines join.

    Args:
        factory: makes a worker.
        share: share of a machine that each worker gets.
        most: largest number of workers; None = as many as fit.
        announce: told about lost and new workers, and about waiting.

    Attributes:
        running: workers and their tasks, by the reference of the task's outcome.
    """

    def __init__(self, factory: WorkerFactory, share: Share, most: int | None, announce: Announce) -> None:
        self.factory, self.share, self.most, self.announce = factory, share, most, announce
        self.running: dict[Any, tuple[Any, Any]] = {}
        self._starting: dict[Any, Any] = {}  # workers, by the reference of their start
        self._loads: dict[Any, int] = {}
        self._looked = -float("inf")
        self._heard = time.monotonic()
        self._losses = 0
        self._has_begun = False

    def recruit(self, waiting: int) -> None:
        """Start as many workers as fit and have tasks, if it is time to look at the cluster again."""
        import ray

        now = time.monotonic()
        if not waiting or now - self._looked < SECONDS_BETWEEN_LOOKS:
            return
        self._looked = now
        there = len(self._loads) + len(self._starting)
        fitting = count_fitting(live_nodes(), self.share)
        wanted = min(fitting if self.most is None else min(self.most, fitting), waiting + len(self.running))
        if self._has_begun and wanted > there:
            self.announce(f"{count_of(wanted - there, 'more worker')} for machines that joined or came back")
        self._has_begun = True
        actor_class = ray.remote(
            num_cpus=self.share.cpus,
            num_gpus=self.share.gpus,
            max_concurrency=self.share.tasks_in_flight + 1,
        )(_RayWorker)
        for _ in range(wanted - there):
            worker = actor_class.remote(Path.cwd(), remembered())
            self._starting[worker.start.remote(self.factory, self.share)] = worker

    def hand_out(self, waiting: _Waiting) -> None:
        """Give tasks to running workers that can take more, the least busy first."""
        while waiting and self._loads:
            worker = min(self._loads, key=self._loads.__getitem__)
            if self._loads[worker] >= self.share.tasks_in_flight:
                return
            task = waiting.take()
            self.running[worker.make.remote(task)] = worker, task
            self._loads[worker] += 1

    def collect(self, waiting: _Waiting) -> Iterator[Any]:
        """Wait some seconds for outcomes and yield them; put tasks of lost workers back.

        Raises:
            PipelineError: workers cannot be started, or one after the other is lost.
        """
        import ray
        from ray.exceptions import RayActorError, RayTaskError

        references = [*self._starting, *self.running]
        ready = ray.wait(references, num_returns=1, timeout=SECONDS_BETWEEN_LOOKS)[0] if references else []
        if not references:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        for reference in ready:
            worker, task = self.running.pop(reference, None) or (self._starting.pop(reference), None)
            try:
                outcome = ray.get(reference)
            except RayActorError as error:
                if task is not None:
                    waiting.put_back(task)
                self._lose(worker, error, was_starting=task is None)
                continue
            except RayTaskError:
                if task is None:
                    self.announce(
                        "a worker cannot start; machines must see the same folders and have the same fakeflow"
                    )
                raise
            self._heard = time.monotonic()
            if task is None:
                self._loads[worker] = 0
                continue
            self._losses = 0
            if worker in self._loads:
                self._loads[worker] -= 1
            yield outcome
        if not self._loads and time.monotonic() - self._heard > SECONDS_OF_PATIENCE:
            self._heard = time.monotonic()
            self.announce(f"waiting for a machine with {describe(self.share)} to spare")

    def dismiss(self) -> None:
        """Stop all workers."""
        import ray

        for worker in {*self._loads, *self._starting.values()}:
            ray.kill(worker)

    def _lose(self, worker: Any, error: Any, was_starting: bool) -> None:
        """Remove a lost worker; one with several tasks is counted as lost only once."""
        import ray

        reason = str(error).strip().splitlines()[-1]
        self._losses += was_starting or worker in self._loads
        self._loads.pop(worker, None)
        if self._losses >= LOSSES_IN_A_ROW:
            raise PipelineError(f"A worker could not be kept running ({reason}). Try --workers 0 to see why.")
        ray.kill(worker)  # in case it is alive and only out of reach
        self._looked = -float("inf")
        self.announce("a worker was lost; its tasks go to others")


class _RayWorker:
    """Hosts a worker in a Ray actor; starts in the folder of the command."""

    def __init__(self, folder: Path, secrets: tuple[str, ...]) -> None:
        _settle(folder, secrets)

    def start(self, factory: WorkerFactory, share: Share) -> None:
        """Make the worker. This is no part of `__init__`, so that its error reaches the user unchanged."""
        self.worker = factory(share)

    def make(self, task: Any) -> Any:
        """Do one task."""
        return self.worker.make(task)


def _settle(folder: Path, secrets: tuple[str, ...]) -> None:
    """Make a process of Ray one of this command: it has the same folder, and hides the same secrets."""
    go_to(folder)
    hide(secrets)
    redact_output()
