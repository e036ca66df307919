"""Timing on the device of `benchmarks.on_gpu`: what is measured is finished before the clock stops."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch


@dataclass(frozen=True)
class Bench:
    """Where and how much is measured.

    Attributes:
        device: `cuda`, or `cpu` for a dry run.
        is_dry: whether sizes are tiny, to try the code without a GPU.
    """

    device: str
    is_dry: bool

    def choose(self, full: int, dry: int) -> int:
        """Return the size of a measurement, or the tiny one of a dry run."""
        return dry if self.is_dry else full

    def wait(self) -> None:
        """Wait until the device has done all its work."""
        if self.device == "cuda":
            torch.cuda.synchronize()

    def seconds(self, work: Callable[[], object], calls: int, rounds: int = 5) -> list[float]:
        """Return the seconds of one call in each round; two calls warm up.

        On a GPU the time passes between two events of the current stream, on which the work must run.
        """
        for _ in range(2):
            work()
        self.wait()
        return [self._round(work, calls) / calls for _ in range(rounds)]

    def _round(self, work: Callable[[], object], calls: int) -> float:
        if self.device != "cuda":
            begun = time.perf_counter()
            for _ in range(calls):
                work()
            return time.perf_counter() - begun
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(calls):
            work()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1000

    def free(self) -> None:
        """Give unused memory of the device back, and begin to record its peak anew."""
        if self.device == "cuda":
            torch.cuda.synchronize()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def peak_memory_gb(self) -> float | None:
        """Return the largest memory of tensors since `free`, in GB (10^9 bytes); None on the CPU."""
        return round(torch.cuda.max_memory_allocated() / 1e9, 2) if self.device == "cuda" else None


def summary(rates: list[float], digits: int = 3) -> dict[str, Any]:
    """Return the median of all rounds, and each of them."""
    return {"median": round(median(rates), digits), "all": [round(rate, digits) for rate in rates]}
