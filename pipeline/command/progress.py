"""Progress of a run: the protocol of its watchers, a silent one, and the line on the terminal."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol, runtime_checkable


@runtime_checkable
class Progress(Protocol):
    """A watcher, which is told about the course of a run."""

    def announce(self, sentence: str) -> None:
        """Take a sentence about what happens next."""

    def update(self, to_do: int, done: int, failed: int, note: str = "") -> None:
        """Take the numbers of samples in all, done and failed; `note` is shown beside them.

        The first call of a run gives the number of samples that earlier runs had done.
        """


class Silent:
    """A watcher that ignores everything."""

    def announce(self, sentence: str) -> None:
        """Ignore the sentence."""

    def update(self, to_do: int, done: int, failed: int, note: str = "") -> None:
        """Ignore the numbers."""


SHORTEST_S = 0.1
"""Shortest time, in seconds, over which a rate is shown."""


class ProgressLine:
    """A progress bar with rate and time left; in a log file, a line every ten seconds, and fewer in long runs.

    Rate and time left count only the samples of this run, those after the first update.

    Attributes:
        rate: rate in words, as last shown; empty until a sample is done.
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
        """Print a line above the bar; the last line before the first sample is done starts the clock."""
        self.console.print(sentence, highlight=False, markup=False, soft_wrap=True)
        if self.done == self.done_before:
            self.started = self.clock()

    def update(self, to_do: int, done: int, failed: int, note: str = "") -> None:
        """Show the numbers, the rate and the time left."""
        now = self.clock()
        if to_do != self.to_do or done < self.done:  # another count has begun
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
        patience = max(10.0, (now - self.began) / 100)  # hundreds of lines a day, not thousands
        if not self.console.is_terminal and made and (now - self.printed > patience or done == to_do):
            self.printed = now
            print(f"{done}/{to_do} {self.unit}, {shown}".rstrip(", "), file=sys.stderr, flush=True)


def rate_in_words(per_second: float) -> str:
    """Return a rate per second or minute if it is at least one, otherwise per hour."""
    for seconds, unit in ((1, "s"), (60, "min")):
        if per_second * seconds >= 1:
            return f"{per_second * seconds:.1f}/{unit}"
    return f"{per_second * 3600:.1f}/h"


class _AnnouncedWarnings(logging.Handler):
    """Prints warnings of the pipeline, such as failures of an object store, above the bar."""

    def __init__(self, line: ProgressLine) -> None:
        super().__init__(logging.WARNING)
        self.line = line

    def emit(self, record: logging.LogRecord) -> None:
        self.line.console.print(record.getMessage(), highlight=False, markup=False, soft_wrap=True)
