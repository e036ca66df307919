"""Compilation of the CPU loops."""

import inspect
from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a loop with numba so that it releases the GIL; the machine code is cached on disk.

    Args:
        function: module-level function on arrays and scalars; wrappers that test tools put around it are removed.

    Returns:
        The compiled function; it is compiled at the first call.
    """
    plain = inspect.unwrap(function)
    options = {"nogil": True, "error_model": "numpy"}
    try:
        cached: Callable[..., Any] = numba.njit(cache=True, **options)(plain)
        return cached
    except RuntimeError:  # numba found no writable folder for its cache: compile in every process
        uncached: Callable[..., Any] = numba.njit(**options)(plain)
        return uncached
