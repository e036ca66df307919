"""Running of tasks, in the calling process or on Ray, and questions to a machine that tasks run on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from pipeline.engine.cluster import RayStart, needs_ray, ray_session
from pipeline.engine.crew import run_on
from pipeline.engine.placement import Placement, count_of, local_share
from pipeline.engine.ray_machines import RayMachines, ask
from pipeline.engine.tasks import Announce, Tasks, Worker, WorkerFactory
from pipeline.errors import PipelineError

__all__ = ["Announce", "Tasks", "Worker", "WorkerFactory", "ask_worker", "run_tasks"]


def run_tasks(
    factory: WorkerFactory,
    tasks: Tasks,
    placement: Placement,
    announce: Announce,
    ray_start: RayStart | None = None,
    are_alike: bool = False,
) -> Generator[Any, None, None]:
    """Run all tasks and yield their outcomes as they come; if the generator is closed early, the workers stop.

    Args:
        factory: makes a worker for its share of the machine; called once in each process.
        tasks: values that `Worker.make` takes.
        placement: machines and devices on which the tasks run.
        announce: told which machines the tasks run on.
        ray_start: a Ray that is being started already, which the caller ends.
        are_alike: whether tasks take about the same time each; if so, a worker on Ray that takes much longer than the
            others at the end is stopped, and its tasks go to others.

    Raises:
        PipelineError: the machine or cluster lacks the device or has too few cores, or a worker cannot be started.
    """
    if placement.gpus_per_worker is not None and placement.gpus_per_worker > 1:
        raise PipelineError(
            f"--gpus-per-worker {placement.gpus_per_worker}; expected at most 1: a worker works on one GPU."
        )
    if not len(tasks):
        return
    if not needs_ray(placement):
        share = local_share(placement.device)
        worker = factory(share)
        more = "" if placement.workers == 0 else "; --workers N runs on Ray"
        announce(f"running in this process: {share.device}, {count_of(share.cpus, 'core')}{more}")
        yield from _run_here(worker, tasks, share.tasks_in_flight)
    else:
        if ray_start is None:
            announce("starting Ray")
        with ray_session(ray_start):
            yield from run_on(RayMachines(), factory, tasks, placement, announce, are_alike)


def ask_worker(question: Callable[[], Any], placement: Placement, ray_start: RayStart | None = None) -> Any:
    """Call a function where a worker would run on Ray, and return its small answer.

    Args:
        question: function that any machine of the cluster can answer.
        placement: machines and devices on which the workers run.
        ray_start: a Ray that is being started already, which the caller ends.

    Raises:
        PipelineError: no machine takes work. Errors of the function pass.
    """
    with ray_session(ray_start):
        return ask(question, placement)


def _run_here(worker: Worker, tasks: Tasks, in_flight: int) -> Iterator[Any]:
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
