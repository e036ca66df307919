"""Datasets of photos with depth, flow and masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.dataset.array_spec import ArraySpec
from pipeline.dataset.keys import ROOT_METADATA
from pipeline.dataset.schema import (
    MADE_FROM_OTHERS,
    NOT_MADE,
    OLDER_VERSIONS,
    SCHEMA_VERSION,
    SHOW_PHOTOS,
    USABLE,
    VERSION_WITHOUT_IMAGES,
    Layout,
    array_specs,
)
from pipeline.dataset.sealed import FIELD
from pipeline.dataset.sharded_store import PHOTOS, ShardedStore
from pipeline.errors import PipelineError

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

    @classmethod
    def open(cls, url: str, photos: str | None = None) -> Self:
        """Open an existing dataset.

        Args:
            url: folder or URL of the dataset.
            photos: folder or URL of the photos of a dataset that was published without images; without them, what
                shows a photo cannot be read.

        Raises:
            PipelineError: there is none, or it has another kind or version.
        """
        store = super().open(url)
        store._photos = photos
        return store

    @property
    def shows_photos(self) -> bool:
        """Return whether arrays that show the photos can be read."""
        return "image" not in self.layout.left_out or self._photos is not None

    def refuse_missing_photos(self) -> None:
        """Raise unless arrays that show the photos can be read.

        Raises:
            PipelineError: the dataset was published without images, and was opened without photos.
        """
        if not self.shows_photos:
            raise PipelineError(
                f"{self.name} was published without images, so its photos are needed here. Give their folder by "
                "`--photos FOLDER`, or `photos=FOLDER` in Python. Or make the whole dataset again by "
                "`pipeline run --recipe`."
            )

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
        if name in SHOW_PHOTOS:
            self.refuse_missing_photos()
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

    @property
    def layout_without_images(self) -> Layout:
        """The layout of the same dataset without the arrays that can be made again."""
        whole = replace(self.layout, left_out=())
        return replace(whole, left_out=tuple(name for name in MADE_FROM_OTHERS if name in self.specs(whole)))

    def metadata_with(self, layout: Layout) -> dict[str, bytes]:
        """Return key -> content of the metadata of a dataset with the same attributes and other sizes."""
        others = {"kind", "layout", "metadata", FIELD}
        attributes = {name: value for name, value in self.attributes.items() if name not in others}
        return self._metadata(layout, {**attributes, "schema_version": self.version_with(layout)})

    def version_with(self, layout: Layout) -> int:
        """Return the schema version of a dataset with the same attributes and other sizes."""
        return VERSION_WITHOUT_IMAGES if layout.left_out else int(self.attributes["schema_version"])

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
