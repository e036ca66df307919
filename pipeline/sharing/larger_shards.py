"""Larger shards for a published copy: chunks of several shards are copied into one, without decoding them.

Hubs and file systems slow down with very many files. The Hugging Face Hub advises fewer than 10,000 entries in a folder
and fewer than 100,000 files in a repository. A dataset of more shards than that is published with fewer, larger ones.
Their bytes are those that a run with as many samples in a shard writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pipeline.dataset.array_spec import ArraySpec
from pipeline.dataset.commits import commit_key
from pipeline.dataset.keys import shard_key
from pipeline.dataset.metadata import encode_small_shard
from pipeline.dataset.schema import Layout
from pipeline.dataset.sealed import sealed_json
from pipeline.dataset.shards import join_shards
from pipeline.dataset.store import DatasetStore


@dataclass(frozen=True)
class Limits:
    """What the place of a published dataset can hold.

    Attributes:
        entries: entries of a folder; fewer are allowed.
        files: files in all; fewer are allowed.
    """

    entries: int = 10_000
    files: int = 100_000


def shards_to_join(store: DatasetStore, limits: Limits) -> int:
    """Return how many shards to put into one, so that a copy stays below the limits; 1 if it does as it is."""
    arrays = len(store.specs(store.layout))
    most_by_entries = limits.entries - 2  # the folder of commit records holds a note as well
    most_by_files = (limits.files - arrays - 10) // (arrays + 1)  # beside them: metadata, manifest, card, ...
    return max(1, -(-store.layout.shard_count // max(1, min(most_by_entries, most_by_files))))


class LargerShards:
    """The shards of a copy, each of which joins several of a dataset.

    Args:
        store: a complete dataset.
        joined: number of shards to put into one.

    Attributes:
        layout: sizes of the copy.
    """

    def __init__(self, store: DatasetStore, joined: int) -> None:
        self._store, self._joined = store, joined
        self.layout: Layout = replace(store.layout, samples_per_shard=store.layout.samples_per_shard * joined)

    def metadata(self) -> dict[str, bytes]:
        """Return key -> content of the metadata of the copy."""
        return self._store.metadata_with(self.layout)

    def objects(self, shard: int) -> dict[str, Callable[[], bytes]]:
        """Return key -> function that makes the content of each object of a shard of the copy."""
        specs = self._store.specs(self.layout).items()
        return {
            shard_key(name, len(spec.shape), shard): partial(self._content, name, spec, shard) for name, spec in specs
        }

    def _content(self, name: str, spec: ArraySpec, shard: int) -> bytes:
        if spec.has_sample_chunks:
            parts = (shard_key(name, len(spec.shape), part) for part in self._parts(shard))
            contents = (self._store.storage.read(part) for part in parts)
            return join_shards(contents, self._store.layout.samples_per_shard, self.layout.samples_per_shard)
        rows = self.layout.rows(shard)
        values = self._store.read(name, slice(rows.start, rows.stop))
        return encode_small_shard(spec, self.layout.samples_per_shard, values)

    def record(self, shard: int, checksums: dict[str, str]) -> tuple[str, bytes]:
        """Return key and content of the commit record of a shard of the copy.

        Args:
            shard: number of the shard.
            checksums: key -> SHA-256 of its objects.
        """
        parts = [(part, self._store.commits.read(part)) for part in self._parts(shard)]
        record: dict[str, Any] = {
            "shard": shard,
            "fingerprint": self._store.attributes["fingerprint"],
            "precision": ", ".join(sorted({record["precision"] for _, record in parts})),
            "objects": checksums,
            "failures": [failure for _, record in parts for failure in record["failures"]],
        }
        if any(record.get("originals") for _, record in parts):
            record["originals"] = [each for part in parts for each in self._originals(*part)]
        return commit_key(shard), sealed_json(record)

    def _originals(self, part: int, record: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield from record.get("originals") or [{} for _ in self._store.layout.rows(part)]

    def _parts(self, shard: int) -> range:
        first = shard * self._joined
        return range(first, min(first + self._joined, self._store.layout.shard_count))
