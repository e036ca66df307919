"""Run a function over items in parallel, each item on one core from beginning to end.

Why not let torch split every operation over the cores: oneDNN chooses its algorithm by batch and by threads, so the
last bits of a depth map would depend on the photos beside it and on the number of cores; and threads that wait for each
other at every operation lose time, the more the busier the machine is.
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
"""The number of threads is a setting of the whole process: calls from several threads take turns."""


def map_on_cores(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Apply `function` to every item, in as many streams as torch has threads; torch uses one thread within each.

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
