"""The precision of the network's arithmetic, and arithmetic that gives the same bits each time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch


def autocast(precision: str, device: str) -> AbstractContextManager[object]:
    """Return the autocast context of the network; on the CPU it is always float32, whatever the recipe says."""
    if device == "cpu" or precision == "float32":
        return nullcontext()
    return torch.autocast(device, dtype=getattr(torch, precision))


def usual_precision(device: str) -> str:
    """Return the precision in which masks are predicted: bfloat16 on GPUs that compute in it, otherwise float32."""
    if torch.device(device).type == "cpu":
        return "float32"
    return "bfloat16" if torch.cuda.get_device_capability(device) >= (8, 0) else "float32"


@contextmanager
def same_bits() -> Iterator[None]:
    """Make computations on a GPU deterministic: sums are taken in a fixed order.

    To be entered before anything is computed on the GPU.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # torch asks for it
    memory: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    memory.fill_uninitialized_memory = False  # costs time, and only shows bugs
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        memory.fill_uninitialized_memory = before[1]
