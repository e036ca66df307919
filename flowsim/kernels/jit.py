"""How the CPU loops are compiled."""

import inspect
from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a loop with numba: without the GIL, kept on disk for the next process.

    Args:
        function: module-level function on arrays and scalars; wrappers that test tools put around it are taken off.

    Returns:
        The compiled function; machine code is made at the first call.
    """
    plain = inspect.unwrap(function)
    options = {"nogil": True, "error_model": "numpy"}
    try:
        cached: Callable[..., Any] = numba.njit(cache=True, **options)(plain)
        return cached
    except RuntimeError:  # numba found no writable place for its cache: compile in every process instead
        uncached: Callable[..., Any] = numba.njit(**options)(plain)
        return uncached
