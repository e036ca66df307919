"""What each run of a dataset did and how long it took: kept beside the commit records, apart from the content."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime

from pipeline.command.progress import Progress
from pipeline.dataset.store import AnyLayout, ShardedStore


class RunLog:
    """Follows one run."""

    def __init__(self, watcher: Progress) -> None:
        self.began = datetime.now(UTC)
        self.ran_on = ""
        self._watcher = watcher
        self._started = time.monotonic()
        self._photos = self._failed = 0
        self._seconds: Counter[str] = Counter()

    def announce(self, sentence: str) -> None:
        """Pass a sentence on; the last one before work is done says what the run runs on, and starts the clock."""
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
        """Keep the record with the dataset, if anything was made."""
        if not self._photos:
            return
        store.put_run_record(
            f"{self.began:%Y%m%dT%H%M%S.%fZ}",
            {
                "began": self.began.isoformat(timespec="seconds"),
                "ran_on": self.ran_on,
                "photos": self._photos,
                "failed": self._failed,
                "seconds": round(time.monotonic() - self._started, 3),
                "stage_seconds": {stage: round(seconds, 3) for stage, seconds in self._seconds.items()},
            },
        )
