"""The machines of the Ray of this process, and their workers, which are Ray actors."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pipeline.engine.cluster import go_to, live_nodes
from pipeline.engine.machines import WorkerLostError
from pipeline.engine.placement import Node, Placement, Share, plan_workers
from pipeline.engine.tasks import WorkerFactory
from pipeline.redaction import hide, redact_output, remembered


class RayMachines:
    """The machines of the cluster that this process has joined."""

    def nodes(self) -> list[Node]:
        """Return the cores and GPUs of the live machines."""
        return live_nodes()

    def start(self, factory: WorkerFactory, share: Share) -> tuple[Any, Any]:
        """Begin to start a worker; return the worker and the reference of its start."""
        import ray

        actor_class = ray.remote(
            num_cpus=share.cpus,
            num_gpus=share.gpus,
            max_concurrency=share.tasks_in_flight + 1,
        )(_RayWorker)
        worker = actor_class.remote(Path.cwd(), remembered())
        return worker, worker.start.remote(factory, share)

    def give(self, worker: Any, task: Any) -> Any:
        """Give a worker a task, and return the reference of the outcome."""
        return worker.make.remote(task)

    def wait(self, references: Sequence[Any], seconds: float) -> Sequence[Any]:
        """Return a reference that is ready, or none if no reference is ready after some seconds."""
        import ray

        if not references:
            time.sleep(seconds)
            return ()
        ready: Sequence[Any] = ray.wait(references, num_returns=1, timeout=seconds)[0]
        return ready

    def outcome(self, reference: Any) -> Any:
        """Return the outcome of a start or a task that is ready.

        Raises:
            WorkerLostError: the worker is lost. Errors of the worker pass.
        """
        import ray
        from ray.exceptions import RayActorError, RayTaskError

        try:
            return ray.get(reference)
        except RayActorError as error:
            raise WorkerLostError(str(error).strip().splitlines()[-1]) from None
        except RayTaskError as error:
            raise error.cause or error from None

    def stop(self, worker: Any) -> None:
        """End a worker at once."""
        import ray

        ray.kill(worker)

    def now(self) -> float:
        """Return the seconds on a clock that never goes back."""
        return time.monotonic()


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
