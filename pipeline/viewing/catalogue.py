"""What the viewer knows of every row without reading its pictures; it is read again while a dataset is written."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from flowsim.prior import MODELS
from pipeline.dataset.sample_reader import SampleReader
from pipeline.dataset.schema import FAILED, NOT_MADE, USABLE
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from pipeline.files.ids import shown

LONGEST_ID = 300
"""Characters of an id that the list shows; the page of a sample shows all."""

Kind = tuple[int, int]
"""Formula (its place in `MODELS`) and type of shot of a motion."""


class Catalogue:
    """The rows of a dataset: id, state, size and kinds of motion.

    Attributes:
        store: the dataset, opened anew when it has grown.
        reader: reader of its samples, made anew when shards were made again.
        revision: grows with every change.
        generation: grows when rows that were listed before have changed, so that nothing read from them is valid.
        states: (n,) uint8, the status of each row.
        sizes: (n, 2) int32, true height and width.
        reasons: row -> why it could not be used.

    Args:
        url: folder or URL of the dataset.
        photos: folder or URL of the photos of a dataset without images, if they are there.

    Raises:
        PipelineError: there is no dataset, or it is damaged or cannot be read.
    """

    def __init__(self, url: str, photos: str | None = None) -> None:
        self.url, self._photos = url, photos
        self.revision = self.generation = 0
        self._lock = threading.Lock()
        self._listed: set[int] = set()
        self._begin(self._open())
        self.refresh()

    def refresh(self) -> None:
        """Read the rows of shards that were made since the last call, and forget those that were removed.

        Raises:
            PipelineError: the dataset is gone or cannot be read.
        """
        with self._lock:
            try:
                self.store.refuse_lost_root()
            except PipelineError:  # it has grown, or another one is there now
                self._begin(self._open())
            committed = self.store.committed()
            with_failures = {row // self.store.layout.samples_per_shard for row in self.reasons}
            before = self.states.copy()
            for shard in self._listed - committed:
                self._forget(shard)
            for first, last in _runs(committed - self._listed | with_failures & committed):
                self._read(first, last)
            self._listed = committed
            if (before != self.states).any():
                self.revision += 1
                if (before != self.states)[before != NOT_MADE].any():
                    self._begin_generation()

    def __contains__(self, row: int) -> bool:
        """Return whether a row is made."""
        return 0 <= row < len(self.states) and bool(self.states[row] != NOT_MADE)

    def counts(self) -> dict[str, int]:
        """Return the numbers of usable, failed and all rows."""
        usable, failed = (int((self.states == state).sum()) for state in (USABLE, FAILED))
        return {"usable": usable, "failed": failed, "all": len(self.states)}

    def is_complete(self) -> bool:
        """Return whether all shards are made."""
        return not (self.states == NOT_MADE).any()

    def kinds(self) -> list[Kind]:
        """Return the kinds of motion that occur, sorted."""
        return sorted({kind for kinds in self._kinds for kind in kinds})

    def index(self) -> dict[str, Any]:
        """Return what the list and its filters need of the rows that are made, as plain values in columns."""
        with self._lock:
            rows = np.flatnonzero(self.states != NOT_MADE)
            places = {kind: place for place, kind in enumerate(self.kinds())}
            return {
                "revision": self.revision,
                "generation": self.generation,
                "rows": rows.tolist(),
                "ids": [self._ids[row] for row in rows],
                "failed": self.states[rows].astype(bool).tolist(),
                "reasons": {str(row): reason for row, reason in self.reasons.items()},
                "kinds": [[places[kind] for kind in self._kinds[row]] for row in rows],
            }

    def _open(self) -> DatasetStore:
        return DatasetStore.open(self.url, self._photos)

    def _begin(self, store: DatasetStore) -> None:
        self.store = store
        count = store.layout.samples
        self.states = np.full(count, NOT_MADE, np.uint8)
        self.sizes = np.zeros((count, 2), np.int32)
        self.reasons: dict[int, str] = {}
        self._ids: list[str] = [""] * count
        self._kinds: list[tuple[Kind, ...]] = [()] * count
        self._listed = set()
        self.revision += 1
        self._begin_generation()

    def _begin_generation(self) -> None:
        self.generation += 1
        self.reader = SampleReader(self.store)

    def _forget(self, shard: int) -> None:
        rows = self.store.layout.rows(shard)
        self.states[rows.start : rows.stop] = NOT_MADE
        self.reasons = {row: reason for row, reason in self.reasons.items() if row not in rows}

    def _read(self, first: int, last: int) -> None:
        """Read the rows of consecutive shards; other threads see the old rows until the new ones are there."""
        store, layout = self.store, self.store.layout
        rows = range(layout.rows(first).start, layout.rows(last).stop)
        part = slice(rows.start, rows.stop)
        states = store.read("status", part)
        self.sizes[part] = store.read("size", part)
        self._ids[part] = [shown(str(one))[:LONGEST_ID] for one in store.read("id", part)]
        if layout.is_simulated:
            motions = store.read("motion", part)
            motions = motions.reshape(len(motions), layout.motions, -1, len(layout.motion_parameters))[:, :, 0]
            columns = [layout.motion_parameters.index(name) for name in ("model", "shot")]
            kinds = [tuple(dict.fromkeys(map(tuple, each))) for each in motions[..., columns].astype(int).tolist()]
            self._kinds[part] = kinds
        with_failures = {int(row) // layout.samples_per_shard for row in np.flatnonzero(states != USABLE) + rows.start}
        records = store.commits.read_all(sorted(with_failures))
        failures = {failure["row"]: failure["reason"] for _, record in records for failure in record["failures"]}
        reasons = {row: reason for row, reason in self.reasons.items() if row not in rows}
        self.reasons = reasons | failures
        self.states[part] = states


def kind_in_words(kind: Kind, prior: dict[str, Any] | None) -> str:
    """Return a kind of motion in words.

    Args:
        kind: formula and type of shot.
        prior: the motion model of the dataset, as its attributes keep it.
    """
    model, shot = kind
    name = MODELS[model] if model < len(MODELS) else f"formula {model}"
    shots = (prior or {}).get("shots", [])
    if len(shots) < 2:
        return name
    weights = [float(one.get("weight", 1)) for one in shots]
    total = sum(weights)
    share = f", {100 * weights[shot] / total:.0f} % of all" if shot < len(weights) and total else ""
    several = len({one.get("model", "rigid") for one in shots}) > 1
    return f"shot {shot}{f', {name}' if several else ''}{share}"


def _runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield first and last number of each run of consecutive numbers."""
    ordered = sorted(numbers)
    starts = [number for place, number in enumerate(ordered) if not place or ordered[place - 1] != number - 1]
    ends = [number for place, number in enumerate(ordered) if ordered[place + 1 : place + 2] != [number + 1]]
    yield from zip(starts, ends, strict=True)
