"""Datasets of photos with depth, flow and masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.dataset.array_spec import ArraySpec
from pipeline.dataset.keys import ROOT_METADATA
from pipeline.dataset.schema import NOT_MADE, OLDER_VERSIONS, SCHEMA_VERSION, USABLE, Layout, array_specs
from pipeline.dataset.sealed import FIELD
from pipeline.dataset.sharded_store import PHOTOS, ShardedStore


class DatasetStore(ShardedStore[Layout]):
    """A dataset of photos with depth, flow and masks."""

    kind = PHOTOS
    version = SCHEMA_VERSION
    older_versions = OLDER_VERSIONS
    made_by = "pipeline run --input ... --output {url}"

    @staticmethod
    def specs(layout: Layout) -> dict[str, ArraySpec]:
        """Return name -> specification of every array."""
        return array_specs(layout)

    def withdraw_if_empty(self) -> None:
        """Delete the metadata of a dataset that has no shard, so that there is no dataset again."""
        if self.committed():
            return
        files = self._metadata(self.layout, {})
        for key in sorted(files, key=lambda key: (key != ROOT_METADATA, key)):
            self.storage.delete(key)
        self._inventory = None

    @staticmethod
    def read_layout(stored: Mapping[str, Any]) -> Layout:
        """Return the layout that `create` kept as plain values."""
        return Layout(**{**stored, "motion_parameters": tuple(stored["motion_parameters"])})

    def metadata_with(self, layout: Layout) -> dict[str, bytes]:
        """Return key -> content of the metadata of a dataset with the same attributes and other sizes."""
        others = {"kind", "layout", "metadata", FIELD}
        return self._metadata(layout, {name: value for name, value in self.attributes.items() if name not in others})

    def states(self) -> NDArray[np.uint8]:
        """Return the status of every row; rows of shards without a commit record are `NOT_MADE`, whatever is stored."""
        status: NDArray[np.uint8] = self.read("status", slice(None)).copy()
        for shard in set(range(self.layout.shard_count)) - self.committed():
            rows = self.layout.rows(shard)
            status[rows.start : rows.stop] = NOT_MADE
        return status

    def usable_rows(self) -> NDArray[np.int64]:
        """Return the rows that hold a sample, in order: they belong to committed shards and did not fail."""
        return np.flatnonzero(self.states() == USABLE)
