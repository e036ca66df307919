"""How far a run is: who wants to know, and the line that shows it."""

from __future__ import annotations

import logging
import sys
import time
from typing import Protocol, runtime_checkable


@runtime_checkable
class Progress(Protocol):
    """Who watches a run."""

    def announce(self, sentence: str) -> None:
        """Say what happens next."""

    def update(self, to_do: int, done: int, failed: int, note: str = "") -> None:
        """Count the samples of this run; `note` says more about them."""


class ProgressLine:
    """A progress bar with rate and time left; on a plain log a line every ten seconds, of long runs fewer."""

    def __init__(self, unit: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.unit = unit
        self.console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[failed]}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.task = self.bar.add_task(unit, total=None, rate="", failed="")
        self.began = self.started = self.printed = time.monotonic()
        self.done = self.done_at_start = 0

    def __enter__(self) -> ProgressLine:
        self.bar.start()
        self.warnings = _AnnouncedWarnings(self)
        logging.getLogger("pipeline").addHandler(self.warnings)
        return self

    def __exit__(self, *exception: object) -> None:
        logging.getLogger("pipeline").removeHandler(self.warnings)
        self.bar.stop()

    def announce(self, sentence: str) -> None:
        """Print a line above the bar; the clock starts with what is announced last."""
        self.console.print(sentence, highlight=False, markup=False, soft_wrap=True)
        self.started, self.done_at_start = time.monotonic(), self.done

    def update(self, to_do: int, done: int, failed: int, note: str = "") -> None:
        """Show how far the run is."""
        now = time.monotonic()
        if done < self.done:  # something else is counted from now on
            self.done_at_start = 0
        self.done, made = done, done - self.done_at_start
        rate = f"{made / (now - self.started):.1f}/s" if made and now > self.started else ""
        shown = f"{failed} failed {note}".rstrip() if failed else note
        self.bar.update(self.task, total=to_do, completed=done, rate=rate, failed=shown)
        patience = max(10.0, (now - self.began) / 100)  # a day leaves hundreds of lines, not thousands
        if not self.console.is_terminal and done and (now - self.printed > patience or done == to_do):
            self.printed = now
            print(f"{done}/{to_do} {self.unit} {rate} {shown}".rstrip(), file=sys.stderr, flush=True)


class _AnnouncedWarnings(logging.Handler):
    """Prints what the pipeline warns of, such as a store's failures, above the bar."""

    def __init__(self, line: ProgressLine) -> None:
        super().__init__(logging.WARNING)
        self.line = line

    def emit(self, record: logging.LogRecord) -> None:
        self.line.console.print(record.getMessage(), highlight=False, markup=False, soft_wrap=True)
