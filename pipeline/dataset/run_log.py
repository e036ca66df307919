"""Records of runs: when each run of a dataset began, what it ran on, and how long it took.

They lie beside the commit records and are no part of the dataset's content. They name the versions of the libraries on
which the content depends.
"""

from __future__ import annotations

import json
import platform
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pipeline.command.progress import Progress
from pipeline.dataset.commits import PRIVATE_FOLDER
from pipeline.dataset.sealed import is_intact, sealed_json
from pipeline.dataset.sharded_store import AnyLayout, ShardedStore

RUNS = f"{PRIVATE_FOLDER}/runs"
_LIBRARIES = ("fakeflow", "numpy", "pillow", "opencv-python-headless", "torch", "transformers", "numba", "numcodecs")


class RunLog:
    """Measures one run and keeps a record of it with the dataset."""

    def __init__(self, watcher: Progress) -> None:
        self.began = datetime.now(UTC)
        self.ran_on = ""
        self._watcher = watcher
        self._started = time.monotonic()
        self._photos = self._failed = 0
        self._seconds: Counter[str] = Counter()

    def announce(self, sentence: str) -> None:
        """Pass a sentence on to the watcher.

        The last sentence before the first shard is finished names the hardware; the clock starts with it.
        """
        if not self._photos:
            self.ran_on = sentence
            self._started = time.monotonic()
        self._watcher.announce(sentence)

    def add(self, photos: int, failed: int, seconds: Mapping[str, float]) -> None:
        """Count a finished shard and the seconds of its stages."""
        self._photos += photos
        self._failed += failed
        self._seconds.update(seconds)

    def save(self, store: ShardedStore[AnyLayout]) -> None:
        """Keep the record with the dataset, if anything was made.

        Raises:
            PipelineError: no room or no permission.
        """
        if not self._photos:
            return
        record = {
            "began": self.began.isoformat(timespec="seconds"),
            "ran_on": self.ran_on,
            "software": installed_software(),
            "photos": self._photos,
            "failed": self._failed,
            "seconds": round(time.monotonic() - self._started, 3),
            "stage_seconds": {stage: round(seconds, 3) for stage, seconds in self._seconds.items()},
        }
        store.storage.write(f"{RUNS}/{self.began:%Y%m%dT%H%M%S.%fZ}.json", sealed_json(record))


def installed_software() -> dict[str, str]:
    """Return the versions of Python and of the installed libraries on which the values of a dataset depend."""
    versions = {"python": platform.python_version()}
    for library in _LIBRARIES:
        with suppress(PackageNotFoundError):
            versions[library] = version(library)
    return versions


def run_records(store: ShardedStore[AnyLayout]) -> dict[str, dict[str, Any]]:
    """Return name -> record of every run; empty if no records were kept. Damaged records are left out."""
    names = [name for name in store.storage.names(RUNS) if name.endswith(".json")]
    notes = {name.removesuffix(".json"): store.storage.read(f"{RUNS}/{name}") for name in names}
    return {name: json.loads(content) for name, content in notes.items() if is_intact(content)}
