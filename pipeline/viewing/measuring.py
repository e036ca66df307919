"""Size of the flow and of the object of every sample, which a dataset does not store: measured in the background."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.dataset.schema import USABLE, decode_flow, picture_part
from pipeline.errors import PipelineError
from pipeline.viewing.catalogue import Catalogue

ROWS_AT_ONCE = 16
FAILURES_IN_A_ROW = 3 * ROWS_AT_ONCE
"""Number of unreadable samples in a row after which the measurement stops: the place itself is out of reach."""


class Measurement:
    """Measures usable rows in order, once somebody has asked for it; each flow and mask is read once.

    Args:
        catalogue: the rows.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_wanted = self._is_ending = False
        self._error = ""
        self._begin_generation()

    def begin(self) -> None:
        """Measure from now on what is not measured yet, also what is made later."""
        with self._lock:
            self._is_wanted, self._error = True, ""
        self.go_on()

    def go_on(self) -> None:
        """Measure rows that are new since the last call, if somebody has asked for the measurement."""
        with self._lock:
            is_running = self._thread is not None and self._thread.is_alive()
            if self._is_wanted and not (is_running or self._is_ending or self._error) and self._next_rows():
                self._thread = threading.Thread(target=self._measure, name="measure", daemon=True)
                self._thread.start()

    def end(self) -> None:
        """Stop after the samples in work."""
        self._is_ending = True
        if self._thread is not None:
            self._thread.join(timeout=1)

    def since(self, first: int) -> dict[str, Any]:
        """Return the results from number `first` on, in columns, and the progress, as plain values.

        A sample that cannot be read has None.
        """
        with self._lock:
            part = self._results[first:]
            return {
                "generation": self._generation,
                "rows": [row for row, _, _ in part],
                "flow_px": [flow_px for _, flow_px, _ in part],
                "object_share": [share for _, _, share in part],
                "measured": len(self._results),
                "wanted": self._is_wanted,
                "error": self._error,
            }

    def _begin_generation(self) -> None:
        self._generation = self._catalogue.generation
        self._results: list[tuple[int, float | None, float | None]] = []
        self._is_done = np.zeros(len(self._catalogue.states), np.bool_)

    def _next_rows(self) -> list[int]:
        states = self._catalogue.states
        if self._generation != self._catalogue.generation or len(states) != len(self._is_done):
            self._begin_generation()
        rows: list[int] = np.flatnonzero((states == USABLE) & ~self._is_done)[:ROWS_AT_ONCE].tolist()
        return rows

    def _measure(self) -> None:
        failed_in_a_row = 0
        while not self._is_ending:
            with self._lock:
                rows, generation = self._next_rows(), self._generation
            if not rows:
                return
            found, error = self._measure_rows(rows)
            failed_in_a_row = 0 if found else failed_in_a_row + len(rows)
            with self._lock:
                if generation != self._generation:
                    continue
                self._results += [(row, *found.get(row, (None, None))) for row in rows]
                self._is_done[rows] = True
                if failed_in_a_row >= FAILURES_IN_A_ROW:
                    self._error = error
                    return

    def _measure_rows(self, rows: list[int]) -> tuple[dict[int, tuple[float | None, float]], str]:
        """Measure some rows together, or one by one if one of them cannot be read; return also the last error."""
        try:
            return self._read(rows), ""
        except (PipelineError, OSError) as error:
            if len(rows) == 1:
                return {}, str(error)
        parts = [self._measure_rows([row]) for row in rows]
        return {row: values for found, _ in parts for row, values in found.items()}, parts[-1][1]

    def _read(self, rows: list[int]) -> dict[int, tuple[float | None, float]]:
        reader, sizes = self._catalogue.reader, self._catalogue.sizes
        found = {}
        for row, flow, mask in zip(rows, reader.read("flow", rows), reader.read("mask", rows), strict=True):
            height, width = map(int, sizes[row])
            flow_px = decode_flow(flow[picture_part("flow", height, width)])
            found[row] = mean_length_px(flow_px), float((mask[:height, :width] > 0).mean())
        return found


def mean_length_px(flow_px: NDArray[np.float32]) -> float | None:
    """Return the mean of |f| over the known vectors, px; None if there is none.

    Args:
        flow_px: (..., 2) pixels, NaN where unknown.
    """
    lengths = np.sqrt(np.square(flow_px[..., 0]) + np.square(flow_px[..., 1]))
    known = np.isfinite(lengths)
    return float(lengths.mean(where=known, dtype=np.float64)) if known.any() else None
