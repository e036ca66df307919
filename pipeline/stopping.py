"""SIGTERM ends a command as Ctrl-C does: `ray job stop`, `docker stop` and batch systems send it."""

from __future__ import annotations

import signal
from types import FrameType


def heed_sigterm() -> None:
    """From now on raise KeyboardInterrupt in this process's main thread at SIGTERM."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
