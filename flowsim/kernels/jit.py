"""Compilation of the CPU loops."""

import inspect
from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any], *, is_inlined: bool = False) -> Callable[..., Any]:
    """Compile a loop with numba so that it releases the GIL; the machine code is cached on disk.

    Args:
        function: module-level function on arrays and scalars; wrappers that test tools put around it are removed.
        is_inlined: make the function a part of the loops that call it; for what runs once or more for each pixel.

    Returns:
        The compiled function; it is compiled at the first call.
    """
    plain = inspect.unwrap(function)
    options = {"nogil": True, "error_model": "numpy", "inline": "always" if is_inlined else "never"}
    try:
        cached: Callable[..., Any] = numba.njit(cache=True, **options)(plain)
        return cached
    except RuntimeError:  # numba found no writable folder for its cache: compile in every process
        uncached: Callable[..., Any] = numba.njit(**options)(plain)
        return uncached
