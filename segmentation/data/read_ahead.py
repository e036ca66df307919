"""Reads items ahead of their use, in bounded memory."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_ahead(
    read: Callable[[Item], Result], items: Iterable[Item], pool: ThreadPoolExecutor, ahead: int
) -> Iterator[Result]:
    """Yield what `read` returns for every item, in order, while the pool's threads read the next ones.

    Args:
        read: function that is called in the pool; its errors are raised here.
        items: items to read.
        pool: threads, which may serve several calls at once.
        ahead: largest number of results that are read before they are requested.
    """
    todo = iter(items)
    waiting: deque[Future[Result]] = deque(pool.submit(read, item) for item in itertools.islice(todo, ahead))
    try:
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(read, item) for item in itertools.islice(todo, 1))
            yield result
    finally:
        for future in waiting:
            future.cancel()


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield lists of `size` items; the last list may be shorter."""
    source = iter(items)
    while batch := list(itertools.islice(source, size)):
        yield batch
