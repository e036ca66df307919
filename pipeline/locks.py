"""One writer per dataset: a lock file on a local file system, a lease in an object store.

The lease is an object that only one of several writers can create (a conditional PUT). Its holder renews it; one that
is not renewed for a while belonged to a run that died, and is taken over.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from pipeline.storage import PARTIAL, Storage, explained

LEASE_BEAT_S = 10.0
LEASE_PATIENCE_S = 45.0

Announce = Callable[[str], None]


class WriterLock:
    """Proof that this process is the only writer; a lock file stays its holder's until the process ends."""

    def check(self) -> None:
        """Make sure that it still is."""


@contextmanager
def lock_file(storage: Storage, key: str) -> Iterator[WriterLock]:
    """Hold a lock file of a local folder, and sweep what a killed writer left half-written.

    Raises:
        PipelineError: another process on this machine holds it.
    """
    import fcntl

    path = Path(storage.path(key))
    with explained(storage.name, "write"):
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = path.open("w")
    with opened as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PipelineError(
                f"Another run is writing {storage.name}. Wait for it, or choose another --output."
            ) from None
        for stray in Path(storage.root).rglob(f"*{PARTIAL}"):
            stray.unlink(missing_ok=True)
        yield WriterLock()


@contextmanager
def lease(
    storage: Storage,
    key: str,
    announce: Announce,
    beat_s: float = LEASE_BEAT_S,
    patience_s: float = LEASE_PATIENCE_S,
) -> Iterator[WriterLock]:
    """Hold the lease of an object store.

    Args:
        storage: the store.
        key: of the lease.
        announce: told on what is waited for.
        beat_s: seconds between renewals.
        patience_s: a lease that is not renewed for so long is taken over.

    Raises:
        PipelineError: another run holds it.
    """
    held = _Lease(storage, key)
    held.acquire(announce, beat_s, patience_s)
    stop = threading.Event()
    renewal = threading.Thread(target=held.renew_until, args=(stop, beat_s), name="lease", daemon=True)
    renewal.start()
    try:
        yield held
    finally:
        stop.set()
        renewal.join()
        held.release()


class _Lease(WriterLock):
    def __init__(self, storage: Storage, key: str) -> None:
        self.storage, self.key = storage, key
        self.owner = uuid.uuid4().hex
        self.since = datetime.now(UTC).isoformat(timespec="seconds")
        self.beats = 0
        self.is_lost = False

    def acquire(self, announce: Announce, beat_s: float, patience_s: float) -> None:
        seen: bytes | None = None
        deadline = 0.0
        while True:
            try:
                self.storage.create(self.key, self._content())
                return
            except FileExistsError:
                there = self.storage.read_if_there(self.key)
            if there is None:
                continue
            if _holder(there).get("owner") == self.owner:
                return  # ours: the store had written it, and its answer was lost
            if seen is not None and there != seen:
                raise PipelineError(
                    f"Another run {_words(there)} is writing {self.storage.name}. "
                    "Wait for it, or choose another --output."
                )
            if seen is None:
                seen, deadline = there, time.monotonic() + patience_s
                announce(
                    f"a run {_words(there)} has not finished {self.storage.name}; "
                    f"waiting {patience_s:.0f} s for a sign of life"
                )
            elif time.monotonic() > deadline:
                announce("no sign of life: continuing its work")
                self.storage.delete(self.key)
                continue
            time.sleep(beat_s / 2)

    def renew_until(self, stop: threading.Event, beat_s: float) -> None:
        while not stop.wait(beat_s):
            try:
                if not self._is_ours():
                    self.is_lost = True
                    return
                self.beats += 1
                self.storage.write(self.key, self._content())
            except PipelineError:
                continue  # the store fails; the next renewal may pass, and who took over in between is seen then

    def check(self) -> None:
        if self.is_lost:
            raise PipelineError(
                f"Another run has taken over {self.storage.name}, because this one was silent for too long. "
                "What is committed stays; wait for the other run."
            )

    def release(self) -> None:
        with suppress(PipelineError):  # what ended the run counts more; the lease ends by itself
            if not self.is_lost and self._is_ours():
                self.storage.delete(self.key)

    def _is_ours(self) -> bool:
        there = self.storage.read_if_there(self.key)
        return there is not None and _holder(there).get("owner") == self.owner

    def _content(self) -> bytes:
        holder = {"owner": self.owner, "host": socket.gethostname(), "process": os.getpid(), "since": self.since}
        return json.dumps({**holder, "beats": self.beats}).encode()


def _holder(content: bytes) -> dict[str, Any]:
    try:
        holder = json.loads(content)
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _words(content: bytes) -> str:
    holder = _holder(content)
    return f"on {holder.get('host', 'an unknown host')} (since {holder.get('since', 'an unknown time')})"
