"""How far a run is: who wants to know, and the line that shows it."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol, runtime_checkable


@runtime_checkable
class Progress(Protocol):
    """Who watches a run."""

    def announce(self, sentence: str) -> None:
        """Say what happens next."""

    def update(self, to_do: int, done: int, failed: int, note: str = "") -> None:
        """Count samples; the first count says what was done before this run, and `note` says more."""


class Silent:
    """A watcher that prints nothing."""

    def announce(self, sentence: str) -> None:
        """Ignore what happens next."""

    def update(self, to_do: int, done: int, failed: int, note: str = "") -> None:
        """Ignore how far it is."""


SHORTEST_S = 0.1
"""A rate over less time says nothing."""


class ProgressLine:
    """A progress bar with rate and time left; on a plain log a line every ten seconds, of long runs fewer.

    Rate and time left come from what was done since the first update, which says what an earlier run had done.

    Attributes:
        rate: in words, as last shown; empty before anything was done.
    """

    def __init__(self, unit: str, clock: Callable[[], float] = time.monotonic) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self.unit, self.clock = unit, clock
        self.rate = ""
        self.console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[shown]}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.task = self.bar.add_task(unit, total=None, shown="")
        self.began = self.started = self.printed = clock()
        self.to_do = self.done = self.done_before = 0

    def __enter__(self) -> ProgressLine:
        self.bar.start()
        self.warnings = _AnnouncedWarnings(self)
        logging.getLogger("pipeline").addHandler(self.warnings)
        return self

    def __exit__(self, *exception: object) -> None:
        logging.getLogger("pipeline").removeHandler(self.warnings)
        self.bar.stop()

    def announce(self, sentence: str) -> None:
        """Print a line above the bar; the clock starts with the last one before work is done."""
        self.console.print(sentence, highlight=False, markup=False, soft_wrap=True)
        if self.done == self.done_before:
            self.started = self.clock()

    def update(self, to_do: int, done: int, failed: int, note: str = "") -> None:
        """Show how far the run is."""
        now = self.clock()
        if to_do != self.to_do or done < self.done:  # something else is counted from now on
            self.to_do, self.done_before = to_do, done
            self.started, self.rate = now, ""
        self.done, made = done, done - self.done_before
        left = ""
        if made and now - self.started >= SHORTEST_S:
            per_second = made / (now - self.started)
            self.rate = rate_in_words(per_second)
            left = f"{timedelta(seconds=round((to_do - done) / per_second))} left" if done < to_do else ""
        parts = (self.rate, left, f"{failed} failed" if failed else "", note)
        shown = ", ".join(part for part in parts if part)
        self.bar.update(self.task, total=to_do, completed=done, shown=shown)
        patience = max(10.0, (now - self.began) / 100)  # a day leaves hundreds of lines, not thousands
        if not self.console.is_terminal and made and (now - self.printed > patience or done == to_do):
            self.printed = now
            print(f"{done}/{to_do} {self.unit}, {shown}".rstrip(", "), file=sys.stderr, flush=True)


def rate_in_words(per_second: float) -> str:
    """Return a rate in the unit of time that gives a number of one or more, of slow ones per hour."""
    for seconds, unit in ((1, "s"), (60, "min")):
        if per_second * seconds >= 1:
            return f"{per_second * seconds:.1f}/{unit}"
    return f"{per_second * 3600:.1f}/h"


class _AnnouncedWarnings(logging.Handler):
    """Prints what the pipeline warns of, such as a store's failures, above the bar."""

    def __init__(self, line: ProgressLine) -> None:
        super().__init__(logging.WARNING)
        self.line = line

    def emit(self, record: logging.LogRecord) -> None:
        self.line.console.print(record.getMessage(), highlight=False, markup=False, soft_wrap=True)
