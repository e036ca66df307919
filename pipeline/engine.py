"""Runs workers: in the calling process, or on Ray. The only module that imports ray.

A worker is any object with `make(task) -> report`. Tasks and reports are small; pixels never travel. Ray restarts a
worker that dies and gives its tasks out again, which is safe because a task writes its shard whole or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.errors import PipelineError


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


def _run_on_ray(
    factory: WorkerFactory, tasks: Sequence[Any], workers: int | None, device: str, announce: Announce
) -> Iterator[Any]:
    import ray
    from ray.exceptions import RayActorError, RayTaskError

    share, workers = _shares(ray.cluster_resources(), len(ray.nodes()), workers, device)
    workers = min(workers, len(tasks))
    announce(
        f"running on Ray: {len(ray.nodes())} node(s), {workers} worker(s), each {share.device}, {share.cpus} cores"
    )
    actor_class = ray.remote(
        num_cpus=share.cpus,
        num_gpus=1 if share.device == "cuda" else 0,
        max_restarts=-1,
        max_task_retries=-1,
        max_concurrency=share.tasks_in_flight,
    )(_RayWorker)
    actors = [actor_class.remote(factory, share) for _ in range(workers)]
    todo = iter(tasks)
    running: dict[Any, Any] = {}

    def give(actor: Any) -> None:
        for task in todo:
            running[actor.make.remote(task)] = actor
            return

    for _ in range(share.tasks_in_flight):
        for actor in actors:
            give(actor)
    try:
        while running:
            ready, _ = ray.wait(list(running), num_returns=1)
            for reference in ready:
                give(running.pop(reference))
                yield ray.get(reference)
    except RayTaskError as error:
        raise error.cause or error from None
    except RayActorError as error:
        reason = str(error).strip().splitlines()[-1]
        raise PipelineError(f"A worker could not be started ({reason}). Try --workers 0 to see why.") from None
    finally:
        for actor in actors:
            ray.kill(actor)


def _shares(resources: dict[str, float], nodes: int, workers: int | None, device: str) -> tuple[Share, int]:
    """Divide a cluster: one GPU each, or all cores in equal parts."""
    cpus, gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
    use_gpu = device == "cuda" or (device == "auto" and gpus > 0)
    if use_gpu and gpus < (workers or 1):
        raise PipelineError(
            f"--workers {workers or 1} on GPUs, but Ray sees {gpus}. Use fewer workers or --device cpu."
        )
    count = workers or (gpus if use_gpu else nodes)
    if cpus < count:
        raise PipelineError(f"--workers {count}, but Ray sees {cpus} processor cores. Use at most {cpus} workers.")
    return Share("cuda" if use_gpu else "cpu", cpus // count), count


class _RayWorker:
    """Hosts a worker in a Ray actor."""

    def __init__(self, factory: WorkerFactory, share: Share) -> None:
        self.worker = factory(share)

    def make(self, task: Any) -> Any:
        return self.worker.make(task)
