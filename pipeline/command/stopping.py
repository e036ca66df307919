"""Stopping of commands by Ctrl-C and SIGTERM, which `ray job stop`, `docker stop` and batch systems send."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SECONDS_TO_STOP = 8.0
"""Time that a stopped command has to finish its current work; `docker stop` kills after 10 s."""
INTERRUPTED = 130
"""Exit code of a command that was stopped."""
SECONDS_UNTIL_NEXT_TRY = 0.02
"""Time after which a stop is tried again that came at a bad moment, such as while a module was loaded."""
IMPORT = "<frozen importlib._bootstrap>"
"""File name of the code of Python's import."""
STOPPED = "Stopped. Finished work stays; the same command continues."

_end: threading.Timer | None = None


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Raise KeyboardInterrupt in the main thread at Ctrl-C and SIGTERM.

    Threads may then finish their current work. The process ends after `SECONDS_TO_STOP` even if one of them waits for a
    disk or a network that does not answer; the order in which datasets are written makes this harmless.
    """
    with _handled_by(_interrupt):
        yield


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """End the process with a sentence at Ctrl-C and SIGTERM, while it has nothing to finish."""
    with _handled_by(_end_at_once):
        yield


def take_all_time() -> None:
    """Let this process stop without a time limit, because it saves its state first."""
    global _end
    if _end is not None:
        _end.cancel()
        _end = None


def take_back_signals() -> None:
    """Have Python answer SIGTERM again after Ray was joined.

    Ray puts a handler in its place, which prints a stack and ends the process after three seconds, finished or not.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))


def silence_what_breaks_off() -> None:
    """Keep Python from printing errors of objects that a stop leaves half made, such as calls to a store."""
    import logging

    warnings.simplefilter("ignore")
    logging.getLogger("asyncio").setLevel(logging.CRITICAL + 1)
    sys.unraisablehook = _stop_after_all


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, handler)}
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # which shells set for commands in the background
        before[signal.SIGINT] = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def _end_at_once(number: int, frame: FrameType | None) -> None:
    os.write(2, f"{STOPPED}\n".encode())
    os._exit(INTERRUPTED)


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _end
    signal.alarm(0)  # by which Ray's handler, if it was called first, would end the process
    if _end is None:
        _end = threading.Timer(SECONDS_TO_STOP, _end_process)
        _end.daemon = True
        _end.start()
    if _is_loading(frame):
        _try_again()
        return
    silence_what_breaks_off()
    raise KeyboardInterrupt


def _try_again() -> None:
    again = threading.Timer(SECONDS_UNTIL_NEXT_TRY, os.kill, (os.getpid(), signal.SIGTERM))
    again.daemon = True
    again.start()


def _is_loading(frame: FrameType | None) -> bool:
    """Return whether a module is being loaded.

    KeyboardInterrupt is not safe there: code in C and callbacks print it and go on, and if it passes through `exec`,
    as for a dataclass, Python ends by the signal instead of with the exit code.
    """
    while frame is not None and frame.f_code.co_filename != IMPORT:
        frame = frame.f_back
    return frame is not None


def _stop_after_all(unraisable: sys.UnraisableHookArgs) -> None:
    """Try a stop again that fell into a callback, whose exceptions Python drops."""
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        _try_again()


def _end_process() -> None:
    os.write(2, b"Stopped without waiting for work that does not end. The same command continues.\n")
    os._exit(INTERRUPTED)
