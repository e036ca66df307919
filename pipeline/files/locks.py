"""Locks, so that a dataset has one writer: a lock file on a local file system, a lease in an object store.

A lease is an object that only one of several writers can create or take over (`pipeline.files.conditional`). Its holder
renews it. A lease that is not renewed for a while belonged to a run that died, and is taken over. Lock files and leases
are removed when the work is done. They are not part of the dataset, and the content of a lock file has no meaning.
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
from pipeline.files import conditional
from pipeline.files.storage import Storage, explained
from pipeline.files.whole_files import PARTIAL

LEASE_BEAT_S = 10.0
LEASE_PATIENCE_S = 45.0

Announce = Callable[[str], None]


class WriterLock:
    """Proof that this process is the only writer. A lock file cannot be lost while the process lives."""

    def check(self) -> None:
        """Raise if this process no longer holds the lock."""


@contextmanager
def sole_writer(storage: Storage, key: str, announce: Announce) -> Iterator[WriterLock]:
    """Hold the lock of a local folder or of a place in an object store.

    The Hugging Face Hub needs no lock: it refuses a commit that does not follow the one that was seen last.

    Args:
        storage: the place.
        key: key of the lock.
        announce: called with a sentence when the lock has to be waited for.

    Raises:
        PipelineError: another process holds the lock.
    """
    if storage.hub:
        with explained(storage.name, "write"):
            storage.hub.hold()
        yield WriterLock()
        return
    with lock_file(storage, key) if storage.is_local else lease(storage, key, announce) as lock:
        yield lock


def is_held(storage: Storage, key: str) -> bool:
    """Return whether a process holds the lock of a place; a lease counts until it is taken over.

    This only reads the lock file. filelock would create it or open it for writing, which readers may not be allowed to.
    """
    import fcntl

    if not storage.is_local:
        return storage.has(key)
    try:
        with Path(storage.path(key)).open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)  # the lock that filelock holds
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@contextmanager
def lock_file(storage: Storage, key: str) -> Iterator[WriterLock]:
    """Hold a lock file of a local folder, and remove unfinished files of processes that were killed.

    Those of an earlier writer are removed at the start; those of workers that this one lost, and the lock file, at the
    end.

    Raises:
        PipelineError: another process on this machine holds it.
    """
    from filelock import FileLock, Timeout

    path = Path(storage.path(key))
    lock = FileLock(path, thread_local=False, fallback_to_soft=False)
    with explained(storage.name, "write"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise PipelineError(
                f"Another run is writing {storage.name}. Wait for it, or choose another place."
            ) from None
    try:
        _remove_unfinished(storage)
        yield WriterLock()
    finally:
        with suppress(OSError):  # the error that ended the work matters more, and files that stay do no harm
            _remove_unfinished(storage)
            path.unlink()  # before the release: filelock gives nobody a lock on a file that is gone
        lock.release()


def _remove_unfinished(storage: Storage) -> None:
    for unfinished in Path(storage.root).rglob(f"*{PARTIAL}"):
        unfinished.unlink(missing_ok=True)


@contextmanager
def lease(
    storage: Storage,
    key: str,
    announce: Announce,
    beat_s: float = LEASE_BEAT_S,
    patience_s: float = LEASE_PATIENCE_S,
) -> Iterator[WriterLock]:
    """Hold the lease of a place in an object store.

    Args:
        storage: the place.
        key: key of the lease.
        announce: called with a sentence when the lease has to be waited for.
        beat_s: seconds between renewals.
        patience_s: seconds after which a lease that is not renewed is taken over.

    Raises:
        PipelineError: another run holds the lease.
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
            version, there = self._look()
            if version is None or there is None:
                if conditional.create(self.storage, self.key, self._content()):
                    return
                continue
            if _holder(there).get("owner") == self.owner:
                return  # this process holds it: the store wrote the lease, but its answer was lost
            if seen is not None and there != seen:
                raise PipelineError(
                    f"Another run {_words(there)} is writing {self.storage.name}. Wait for it, or choose another place."
                )
            if seen is None:
                seen, deadline = there, time.monotonic() + patience_s
                announce(
                    f"a run {_words(there)} has not finished {self.storage.name}; "
                    f"waiting {patience_s:.0f} s for a sign of life"
                )
            elif time.monotonic() > deadline:
                announce("no sign of life: continuing its work")
                if conditional.replace(self.storage, self.key, self._content(), version):
                    return
                continue
            time.sleep(beat_s / 2)

    def renew_until(self, stop: threading.Event, beat_s: float) -> None:
        while not stop.wait(beat_s):
            try:
                if not self._renew():
                    self.is_lost = True
                    return
            except PipelineError:
                continue  # the next renewal may succeed; it also notices if another run took over in between

    def check(self) -> None:
        if self.is_lost:
            raise PipelineError(
                f"Another run has taken over {self.storage.name}, because this one was silent for too long. "
                "What is committed stays; wait for the other run."
            )

    def release(self) -> None:
        with suppress(PipelineError):  # the error that ended the run matters more; the lease expires
            if not self.is_lost and self._renew():  # renewed, so that nobody takes it over before it is removed
                self.storage.delete(self.key)

    def _renew(self) -> bool:
        """Renew the lease; return False if another run holds it now."""
        while True:
            version, there = self._look()
            if version is None or there is None or _holder(there).get("owner") != self.owner:
                return False
            self.beats += 1
            if conditional.replace(self.storage, self.key, self._content(), version):
                return True

    def _look(self) -> tuple[str | None, bytes | None]:
        """Return the version and the content; if the lease changes in between, the version is outdated."""
        version = conditional.version(self.storage, self.key)
        return version, self.storage.read_if_there(self.key)

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
