"""Datasets of photos with depth, flow and masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.dataset.array_spec import ArraySpec
from pipeline.dataset.keys import ROOT_METADATA
from pipeline.dataset.schema import (
    MADE_FROM_OTHERS,
    NOT_MADE,
    OLDER_VERSIONS,
    SCHEMA_VERSION,
    USABLE,
    VERSION_WITHOUT_IMAGES,
    Layout,
    array_specs,
)
from pipeline.dataset.sealed import FIELD
from pipeline.dataset.sharded_store import PHOTOS, ShardedStore

if TYPE_CHECKING:
    from pipeline.dataset.regeneration import Regeneration


class DatasetStore(ShardedStore[Layout]):
    """A dataset of photos with depth, flow and masks."""

    kind = PHOTOS
    version = SCHEMA_VERSION
    older_versions = OLDER_VERSIONS | {VERSION_WITHOUT_IMAGES}
    rare_sizes = frozenset({"left_out"})
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
        names = {name: tuple(stored[name]) for name in ("motion_parameters", "left_out") if name in stored}
        return Layout(**{**stored, **names})

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._photos: str | None = None
        self._regeneration: Regeneration | None = None

    def with_photos(self, photos: str | None) -> DatasetStore:
        """Let arrays that show the photos be read even if they are left out.

        Args:
            photos: folder or URL of the photos that the dataset was made of; None if there are none.
        """
        self._photos, self._regeneration = photos, None
        return self

    @property
    def shows_photos(self) -> bool:
        """Return whether arrays that show the photos can be read."""
        return "image" not in self.layout.left_out or self._photos is not None

    def remade(self, name: str, rows: Sequence[int]) -> list[NDArray[Any]] | None:
        """Return rows of an array that the dataset leaves out, made again; None if it does not leave it out.

        Raises:
            PipelineError: photos are needed and are not there.
        """
        if name not in self.layout.left_out:
            return None
        if self._regeneration is None:
            from pipeline.dataset.regeneration import Regeneration

            self._regeneration = Regeneration(self, self._photos)
        return self._regeneration.make(name, rows)

    def read(self, name: str, rows: int | slice) -> NDArray[Any]:
        """Return the stored values, not decoded, of some rows of one array; arrays that are left out are made again.

        Raises:
            PipelineError: the values are damaged or lost, the store fails, or photos are needed and are not there.
        """
        wanted = [rows] if isinstance(rows, int) else range(self.layout.samples)[rows]
        remade = self.remade(name, wanted)
        if remade is None:
            return super().read(name, rows)
        return remade[0] if isinstance(rows, int) else np.stack(remade)

    def metadata_without_images(self) -> dict[str, bytes]:
        """Return key -> content of the metadata of the same dataset without the arrays that can be made again."""
        arrays = tuple(name for name in MADE_FROM_OTHERS if name in self.specs(self.layout))
        return self.metadata_with(replace(self.layout, left_out=arrays))

    def metadata_with(self, layout: Layout) -> dict[str, bytes]:
        """Return key -> content of the metadata of a dataset with the same attributes and other sizes."""
        others = {"kind", "layout", "metadata", FIELD}
        attributes = {name: value for name, value in self.attributes.items() if name not in others}
        if layout.left_out:
            attributes["schema_version"] = VERSION_WITHOUT_IMAGES
        return self._metadata(layout, attributes)

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
