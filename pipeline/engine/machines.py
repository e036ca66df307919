"""What the engine asks of machines that hold workers: a Ray cluster, or one that a benchmark simulates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from pipeline.engine.placement import Node, Share
from pipeline.engine.tasks import WorkerFactory


class WorkerLostError(Exception):
    """A worker's process has ended, or its machine is gone or out of reach."""


class Machines(Protocol):
    """Machines that start workers and have them do tasks. Workers and references are hashable."""

    def nodes(self) -> list[Node]:
        """Return the cores and GPUs of the live machines."""

    def start(self, factory: WorkerFactory, share: Share) -> tuple[Any, Any]:
        """Begin to start a worker; return the worker and the reference of its start."""

    def give(self, worker: Any, task: Any) -> Any:
        """Give a worker a task, and return the reference of the outcome."""

    def wait(self, references: Sequence[Any], seconds: float) -> Sequence[Any]:
        """Return references that are ready; wait for the first of them, but no longer than some seconds."""

    def outcome(self, reference: Any) -> Any:
        """Return the outcome of a start or a task that is ready.

        Raises:
            WorkerLostError: the worker is lost. Errors of the worker pass.
        """

    def stop(self, worker: Any) -> None:
        """End a worker at once, whether it is busy, idle or out of reach."""

    def now(self) -> float:
        """Return the seconds on a clock that never goes back."""
