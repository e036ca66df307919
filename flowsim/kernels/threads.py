"""Work on the rows of a batch, shared among threads."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

T = TypeVar("T")

# Smallest number of pixels for which the hand-over to a thread costs less than it saves.
_SMALLEST_SHARE_PX = 65_536


@cache
def _pool(process_id: int, threads: int) -> ThreadPoolExecutor:
    """Return the thread pool of a process; a forked process gets its own, because threads do not survive a fork."""
    return ThreadPoolExecutor(threads, thread_name_prefix="flowsim")


def share_rows(work: Callable[[int, int], T], rows: int, width: int, threads: int) -> list[T]:
    """Call `work(first, last)` on consecutive ranges that together cover `range(rows)`.

    Args:
        work: handles the rows from `first` up to, but not including, `last`; releases the GIL while it runs.
        rows: total number of rows.
        width: pixels per row; with few pixels in all, a single thread is used.
        threads: largest number of threads; 1 = the calling thread alone.

    Returns:
        Results of `work`, in the order of the rows.
    """
    shares = min(threads, rows, max(1, rows * width // _SMALLEST_SHARE_PX))
    if shares <= 1:
        return [work(0, rows)]
    bounds = [rows * i // shares for i in range(shares + 1)]
    return list(_pool(os.getpid(), threads).map(work, bounds[:-1], bounds[1:]))
