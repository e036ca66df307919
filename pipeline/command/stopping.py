"""Stopping of commands by Ctrl-C and SIGTERM, which `ray job stop`, `docker stop` and batch systems send."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SECONDS_TO_STOP = 8.0
"""Time that a stopped command has to finish its current work; `docker stop` kills after 10 s."""
INTERRUPTED = 130
"""Exit code of a command that was stopped."""

_end: threading.Timer | None = None


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Raise KeyboardInterrupt in the main thread at Ctrl-C and SIGTERM.

    Threads may then finish their current work. The process ends after `SECONDS_TO_STOP` even if one of them waits for a
    disk or a network that does not answer; the order in which datasets are written makes this harmless.
    """
    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, _interrupt)}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # otherwise, SIGINT is to be ignored
        before[signal.SIGINT] = signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def take_all_time() -> None:
    """Let this process stop without a time limit, because it saves its state first."""
    global _end
    if _end is not None:
        _end.cancel()
        _end = None


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _end
    if _end is None:
        _end = threading.Timer(SECONDS_TO_STOP, _end_process)
        _end.daemon = True
        _end.start()
    raise KeyboardInterrupt


def _end_process() -> None:
    os.write(2, b"Stopped without waiting for work that does not end. The same command continues.\n")
    os._exit(INTERRUPTED)
