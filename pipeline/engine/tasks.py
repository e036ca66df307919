"""Tasks and the workers that do them.

A worker is any object with `make(task) -> outcome`. Tasks and outcomes are small; pixels are never sent between
processes. If a worker dies, its tasks are given to others. This is safe because a task writes its shard whole or not at
all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from pipeline.engine.placement import Share


class Worker(Protocol):
    """An object that does tasks; `make` must be safe to call from several threads, and to repeat."""

    def make(self, task: Any) -> Any:
        """Do one task and return a small outcome."""


class Tasks(Protocol):
    """Plain, picklable values, which are read one by one when they are given to workers."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


WorkerFactory = Callable[[Share], Worker]
Announce = Callable[[str], None]
