"""Share the rows of a batch among threads."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

T = TypeVar("T")

# Below this many rows x columns the hand-over costs more than it saves.
_SMALLEST_SHARE_PX = 65_536


@cache
def _pool(process_id: int, threads: int) -> ThreadPoolExecutor:
    """A pool per process: threads do not survive a fork, so a forked worker makes its own."""
    return ThreadPoolExecutor(threads, thread_name_prefix="flowsim")


def share_rows(work: Callable[[int, int], T], rows: int, width: int, threads: int) -> list[T]:
    """Call `work(first, last)` on consecutive ranges that together are `range(rows)`.

    Args:
        work: handles the rows from `first` up to, not including, `last`, and releases the GIL meanwhile.
        rows: how many rows there are in all.
        width: pixels per row; decides whether a second thread is worth its start.
        threads: the most threads to use; 1 = the calling thread.

    Returns:
        What `work` returned, in the order of the rows.
    """
    shares = min(threads, rows, max(1, rows * width // _SMALLEST_SHARE_PX))
    if shares <= 1:
        return [work(0, rows)]
    bounds = [rows * i // shares for i in range(shares + 1)]
    return list(_pool(os.getpid(), threads).map(work, bounds[:-1], bounds[1:]))
