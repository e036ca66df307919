"""Parallel work on items, each of them on one core from beginning to end.

There are two reasons not to let torch split every operation over the cores. oneDNN chooses its algorithm by the batch
size and the number of threads, so that the last bits of a depth map would depend on the other photos of its batch and
on the number of cores. And threads that wait for each other at every operation lose time, more so on a busy machine.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

_ONE_CALL = threading.Lock()
"""Calls from several threads take turns, because the number of threads is a setting of the whole process."""


def map_on_cores(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Apply `function` to every item in as many streams as torch has threads; within a stream torch uses one thread.

    Returns:
        The results in the order of the items.
    """
    with _ONE_CALL:
        streams = torch.get_num_threads()
        torch.set_num_threads(1)  # new threads inherit it
        try:
            with ThreadPoolExecutor(streams, thread_name_prefix="depth") as pool:
                return list(pool.map(function, items))
        finally:
            torch.set_num_threads(streams)
