"""Runs workers: in the calling process, or on Ray. The only module that imports ray.

A worker is any object with `make(task) -> report`. Tasks and reports are small; pixels never travel. Tasks of a worker
that dies are given to others, which is safe because a task writes its shard whole or not at all.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.errors import PipelineError

SECONDS_BETWEEN_LOOKS = 5.0
"""So often the cluster is looked at while nothing happens: nodes may have joined it."""
SECONDS_OF_PATIENCE = 60.0
"""Nothing has run for so long: the user is told what is waited for."""
LOSSES_IN_A_ROW = 5
"""So many workers lost without one task done: it is the tasks, not the cluster."""


class Worker(Protocol):
    """What the engine runs; `make` must be safe to call from several threads and to repeat."""

    def make(self, task: Any) -> Any:
        """Do one task and return a small report."""


@dataclass(frozen=True)
class Share:
    """What one worker gets: its device (`cpu` or `cuda`) and number of processor cores."""

    device: str
    cpus: int

    @property
    def tasks_in_flight(self) -> int:
        """Tasks that a worker overlaps: on a GPU, some decode or write while one is on it; a CPU has no idle half."""
        return 1 if self.device == "cpu" else max(3, self.cpus)


WorkerFactory = Callable[[Share], Worker]


Announce = Callable[[str], None]


def run_tasks(
    factory: WorkerFactory, tasks: Sequence[Any], workers: int | None, device: str, announce: Announce
) -> Iterator[Any]:
    """Run all tasks and yield their reports as they come.

    Args:
        factory: makes a worker for its share of the machine; called once in each worker.
        tasks: plain, picklable values.
        workers: 0 = in this process; None = one per GPU, without a GPU one per machine.
        device: `auto`, `cpu` or `cuda`.
        announce: told on what the tasks run.

    Raises:
        PipelineError: the machine or cluster has no such device or too few cores, or a worker cannot be started.
    """
    if not tasks:
        return
    if workers == 0:
        share = local_share(device)
        worker = factory(share)
        announce(f"running in this process: {share.device}, {share.cpus} cores")
        yield from _run_here(worker, tasks, share.tasks_in_flight)
    else:
        announce("starting Ray")
        with ray_session():
            yield from _run_on_ray(factory, tasks, workers, device, announce)


def local_share(device: str) -> Share:
    """Return this whole machine as one worker's share.

    Raises:
        PipelineError: `cuda` is asked for and there is none.
    """
    import torch

    has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise PipelineError(
            "--device cuda: torch sees no GPU here. Use --device cpu, or install a torch build for your GPU."
        )
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Share("cuda" if has_gpu and device != "cpu" else "cpu", cpus)


def _run_here(worker: Worker, tasks: Sequence[Any], in_flight: int) -> Iterator[Any]:
    todo = iter(tasks)
    with ThreadPoolExecutor(in_flight, thread_name_prefix="shard") as pool:
        running: set[Future[Any]] = set()
        while True:
            for task in todo:
                running.add(pool.submit(worker.make, task))
                if len(running) >= in_flight:
                    break
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()


@contextmanager
def ray_session() -> Iterator[None]:
    """Join the cluster of `RAY_ADDRESS` (set for jobs) or this process's own; else start and stop a local one."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import logging

    import ray

    if ray.is_initialized():
        yield
        return
    address = os.environ.get("RAY_ADDRESS") or "local"
    options: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}  # said by who starts it
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise PipelineError(
            f"Ray cannot be started or joined at {address} ({error}). "
            "Check RAY_ADDRESS, or run without Ray: --workers 0."
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


@dataclass(frozen=True)
class Node:
    """What a machine of the cluster has."""

    cpus: int
    gpus: int


def plan_workers(nodes: Sequence[Node], workers: int | None, device: str) -> tuple[Share, int]:
    """Divide a cluster into equal workers with as many cores as fit.

    Args:
        nodes: the machines that are alive; those without a core do not count.
        workers: how many; None = one per GPU, without a GPU one per machine.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        PipelineError: there are not so many GPUs or cores.
    """
    gpus = sum(node.gpus for node in nodes)
    use_gpu = device == "cuda" or (device == "auto" and gpus > 0)
    if use_gpu and gpus < (workers or 1):
        raise PipelineError(
            f"--workers {workers or 1} on GPUs, but Ray sees {gpus}. Use fewer workers or --device cpu."
        )
    count = workers or (gpus if use_gpu else sum(node.cpus > 0 for node in nodes))
    for cpus in range(max((node.cpus for node in nodes), default=0), 0, -1):
        share = Share("cuda" if use_gpu else "cpu", cpus)
        if 0 < count <= _places(nodes, share):
            return share, count
    cores = sum(node.cpus for node in nodes)
    beside = " beside its GPUs" if use_gpu else ""
    raise PipelineError(
        f"--workers {max(count, 1)}, but Ray sees {cores} processor cores{beside}. Use fewer workers or more machines."
    )


def _places(nodes: Sequence[Node], share: Share) -> int:
    """Count the workers that fit on the machines."""
    return sum(min(node.cpus // share.cpus, node.gpus if share.device == "cuda" else node.cpus) for node in nodes)


def _live_nodes() -> list[Node]:
    import ray

    resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Node(int(each.get("CPU", 0)), int(each.get("GPU", 0))) for each in resources]


def _run_on_ray(
    factory: WorkerFactory, tasks: Sequence[Any], workers: int | None, device: str, announce: Announce
) -> Iterator[Any]:
    from ray.exceptions import RayTaskError

    nodes = _live_nodes()
    share, count = plan_workers(nodes, workers, device)
    machines = sum(node.cpus > 0 for node in nodes)
    announce(
        f"running on Ray: {machines} node(s), {min(count, len(tasks))} worker(s), each {share.device}, "
        f"{share.cpus} cores"
    )
    crew, waiting = _Crew(factory, share, workers, announce), deque(tasks)
    try:
        while waiting or crew.running:
            crew.recruit(len(waiting))
            crew.hand_out(waiting)
            yield from crew.collect(waiting)
    except RayTaskError as error:
        raise error.cause or error from None
    finally:
        crew.dismiss()


class _Crew:
    """Workers on Ray: as many as fit, replaced when they are lost, more when machines join.

    Args:
        factory, share: of each worker.
        most: workers that the user asked for; None = all that fit.
        announce: told of losses, of new workers, and of waiting.

    Attributes:
        running: by the reference of its report, a worker and its task.
    """

    def __init__(self, factory: WorkerFactory, share: Share, most: int | None, announce: Announce) -> None:
        self.factory, self.share, self.most, self.announce = factory, share, most, announce
        self.running: dict[Any, tuple[Any, Any]] = {}
        self._starting: dict[Any, Any] = {}  # by the reference of their first sign of life
        self._loads: dict[Any, int] = {}
        self._looked = -float("inf")
        self._heard = time.monotonic()
        self._losses = 0
        self._has_begun = False

    def recruit(self, waiting: int) -> None:
        """Start the workers that fit and are of use, if it is time to look at the cluster again."""
        import ray

        now = time.monotonic()
        if not waiting or now - self._looked < SECONDS_BETWEEN_LOOKS:
            return
        self._looked = now
        there = len(self._loads) + len(self._starting)
        fitting = _places(_live_nodes(), self.share)
        wanted = min(fitting if self.most is None else min(self.most, fitting), waiting + len(self.running))
        if self._has_begun and wanted > there:
            self.announce(f"{wanted - there} more worker(s) for machines that joined or came back")
        self._has_begun = True
        actor_class = ray.remote(
            num_cpus=self.share.cpus,
            num_gpus=1 if self.share.device == "cuda" else 0,
            max_concurrency=self.share.tasks_in_flight + 1,
        )(_RayWorker)
        for _ in range(wanted - there):
            worker = actor_class.remote(self.factory, self.share)
            self._starting[worker.is_ready.remote()] = worker

    def hand_out(self, waiting: deque[Any]) -> None:
        """Give tasks to the workers that run and have room, the least busy first."""
        while waiting and self._loads:
            worker = min(self._loads, key=self._loads.__getitem__)
            if self._loads[worker] >= self.share.tasks_in_flight:
                return
            task = waiting.popleft()
            self.running[worker.make.remote(task)] = worker, task
            self._loads[worker] += 1

    def collect(self, waiting: deque[Any]) -> Iterator[Any]:
        """Wait for something to happen, for some seconds at most; yield reports, put lost tasks back.

        Raises:
            PipelineError: workers cannot be started, or are lost one after the other.
        """
        import ray
        from ray.exceptions import RayActorError

        references = [*self._starting, *self.running]
        ready = ray.wait(references, num_returns=1, timeout=SECONDS_BETWEEN_LOOKS)[0] if references else []
        if not references:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        for reference in ready:
            worker, task = self.running.pop(reference, None) or (self._starting.pop(reference), None)
            try:
                report = ray.get(reference)
            except RayActorError as error:
                if task is not None:
                    waiting.appendleft(task)
                self._lose(worker, error)
                continue
            self._heard = time.monotonic()
            if task is None:
                self._loads[worker] = 0
                continue
            self._losses = 0
            if worker in self._loads:
                self._loads[worker] -= 1
            yield report
        if not self._loads and time.monotonic() - self._heard > SECONDS_OF_PATIENCE:
            self._heard = time.monotonic()
            self.announce(f"waiting for a machine with {self.share.cpus} free cores ({self.share.device})")

    def dismiss(self) -> None:
        """Stop all workers."""
        import ray

        for worker in {*self._loads, *self._starting.values()}:
            ray.kill(worker)

    def _lose(self, worker: Any, error: Any) -> None:
        """Do without a worker; of those that had several tasks, the first to be found lost counts."""
        import ray

        reason = str(error).strip().splitlines()[-1]
        self._losses += self._loads.pop(worker, None) is not None
        if error.actor_init_failed or self._losses >= LOSSES_IN_A_ROW:
            raise PipelineError(f"A worker could not be kept running ({reason}). Try --workers 0 to see why.")
        ray.kill(worker)  # should it only be out of reach
        self._looked = -float("inf")
        self.announce("a worker was lost; its tasks go to others")


class _RayWorker:
    """Hosts a worker in a Ray actor."""

    def __init__(self, factory: WorkerFactory, share: Share) -> None:
        self.worker = factory(share)

    def is_ready(self) -> bool:
        return True

    def make(self, task: Any) -> Any:
        return self.worker.make(task)
