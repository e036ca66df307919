"""The state of a sharded dataset, on disk or in an object store: create it, open it, extend it, read it.

A shard exists when its commit record exists (`pipeline.dataset.commits`). The record is written last
(`pipeline.dataset.shard_writer`), so a process may die at any point without damage. The root's `zarr.json` holds the
checksums of the metadata, and its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from shlex import quote
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

from pipeline.dataset.array_spec import ArraySpec, ShardedLayout
from pipeline.dataset.commits import (
    COMMITS_NOTE,
    COMMITS_NOTE_TEXT,
    PRIVATE_FOLDER,
    CommitRecords,
    Failure,
)
from pipeline.dataset.inventory import (
    DamagedFileError,
    Inventory,
    our_attributes,
    read_inventory,
    root_is_damaged,
)
from pipeline.dataset.keys import ROOT_METADATA
from pipeline.errors import PipelineError
from pipeline.files.locks import Announce, WriterLock, sole_writer
from pipeline.files.storage import Storage

if TYPE_CHECKING:
    import zarr
    from numpy.typing import NDArray

    from pipeline.dataset.stored_values import StoredValues

LOCK = f"{PRIVATE_FOLDER}/lock"
COPYING = f"{PRIVATE_FOLDER}/copying"
"""File of a copy that `pipeline publish` has begun and not finished."""
PHOTOS = "photos"
"""The kind of a dataset that names none."""

AnyLayout = TypeVar("AnyLayout", bound=ShardedLayout)


def refuse_unfinished_copy(storage: Storage) -> None:
    """Raise if a place without root metadata holds the part of a copy that `pipeline publish` was stopped in.

    Raises:
        PipelineError: it does.
    """
    if storage.has(COPYING):
        raise PipelineError(
            f"{storage.name} is an unfinished copy of a dataset. Run the same `pipeline publish` again: it goes on."
        )


class ShardedStore(ABC, Generic[AnyLayout]):
    """A dataset of any kind, each of which has its own arrays, at an fsspec URL.

    Attributes:
        kind: name of the kind of dataset, kept in the attributes.
        commits: its commit records.
        version: version of the arrays of this kind.
        older_versions: versions that are read and continued as well.
        made_by: command that makes such a dataset; `{url}` stands for its place.
        rare_sizes: fields of the layout that are stored only if they are not empty.
    """

    kind: ClassVar[str]
    version: ClassVar[int]
    older_versions: ClassVar[frozenset[int]] = frozenset()
    made_by: ClassVar[str]
    rare_sizes: ClassVar[frozenset[str]] = frozenset()

    @staticmethod
    @abstractmethod
    def specs(layout: AnyLayout) -> dict[str, ArraySpec]:
        """Return name -> specification of every array."""

    @staticmethod
    @abstractmethod
    def read_layout(stored: Mapping[str, Any]) -> AnyLayout:
        """Return the layout that `create` kept as plain values."""

    @classmethod
    def reads(cls, version: object) -> bool:
        """Return whether datasets of a version of the arrays are read and continued."""
        return version == cls.version or version in cls.older_versions

    def __init__(self, url: str) -> None:
        self.url = url
        self.storage = Storage(url)
        self._advice = "Choose a place that does not exist yet."
        self.commits = CommitRecords(self.storage, lambda: self.inventory)
        self._inventory: Inventory | None = None
        self._opened_values: StoredValues | None = None

    @property
    def name(self) -> str:
        """The URL without credentials, for messages."""
        return self.storage.name

    @property
    def root(self) -> str:
        """The path of the dataset as its file system names it."""
        return self.storage.root

    def exists(self) -> bool:
        """Return whether a dataset of this project is at the URL.

        Raises:
            PipelineError: something else is there.
        """
        if not self.storage.is_there():
            return False
        metadata = self.storage.read_if_there(ROOT_METADATA)
        if metadata is None:
            if self.storage.is_file():
                raise PipelineError(f"{self.name} is a file, not a dataset. {self._advice}")
            refuse_unfinished_copy(self.storage)
            names = self.storage.names()
            if names and PRIVATE_FOLDER not in names:
                shown = ", ".join(names[:3]) + ("..." if len(names) > 3 else "")
                raise PipelineError(f"{self.name} is a folder with other files in it ({shown}). {self._advice}")
            return False
        ours = our_attributes(metadata, self.storage)
        if ours is None:
            raise PipelineError(f"{self.name} is a Zarr store that fakeflow did not write. {self._advice}")
        if (kind := ours.get("kind", PHOTOS)) != self.kind:
            raise PipelineError(f"{self.name} holds {kind}, not {self.kind}. {self._advice}")
        version = ours.get("schema_version")
        if not self.reads(version):
            raise PipelineError(
                f"{self.name} has schema version {version}, this fakeflow reads version {self.version}. "
                f"Use the version of fakeflow that wrote it, or make the dataset again in another place."
            )
        self._inventory = self._read_inventory(metadata)
        return True

    def refuse_foreign_content(self) -> None:
        """Raise PipelineError if something other than a dataset of this kind and version is at the URL."""
        self.exists()

    @classmethod
    def open(cls, url: str) -> Self:
        """Open an existing dataset.

        Raises:
            PipelineError: there is none, or it has another kind or version.
        """
        store = cls(url)
        store._advice = f"Expected what `{cls.made_by.format(url='FOLDER')}` makes."
        if not store.exists():
            how = f"Make one with `{cls.made_by.format(url=quote(store.name))}`."
            repair = "Check the address." if store.storage.is_http else how
            raise PipelineError(f"{store.name}: there is no dataset here. {repair}")
        return store

    @property
    def group(self) -> zarr.Group:
        """The Zarr group, for reading and for whole-shard writes."""
        return self._values.group

    @property
    def inventory(self) -> Inventory:
        """The content of the root's metadata, compared with the schema."""
        if self._inventory is None:
            self._inventory = self._read_inventory(self.storage.read(ROOT_METADATA))
        return self._inventory

    @property
    def attributes(self) -> dict[str, Any]:
        """The group attribute `fakeflow`: schema version, configuration, fingerprint, provenance."""
        return self.inventory.attributes

    @property
    def layout(self) -> AnyLayout:
        """Sizes of the dataset, from its attributes."""
        return self.read_layout(self.attributes["layout"])

    def create(self, layout: AnyLayout, attributes: Mapping[str, Any]) -> None:
        """Write the metadata of all arrays, those of the group last: without them there is no dataset.

        Args:
            layout: sizes of the dataset.
            attributes: plain values, kept as the group attribute `fakeflow`.
        """
        files = self._metadata(layout, attributes)
        self._inventory = self._read_inventory(files[ROOT_METADATA])
        self.commits.drop_foreign()
        self.storage.write(COMMITS_NOTE, COMMITS_NOTE_TEXT)
        self._write_metadata(files)

    def grow(self, layout: AnyLayout, attributes: Mapping[str, Any]) -> None:
        """Add rows at the end. Full shards stay; a last shard that was not full is made again.

        Args:
            layout: the sizes of before with more rows.
            attributes: as for `create`. Earlier fingerprints are kept, since the records of the full shards name them.
        """
        before, last = self.layout, self.layout.shard_count - 1
        earlier = [*self.attributes.get("earlier_fingerprints", ()), self.attributes["fingerprint"]]
        if len(layout.rows(last)) > len(before.rows(last)):
            self.commits.drop(last)
        files = self._metadata(layout, {**attributes, "earlier_fingerprints": earlier})
        self._write_metadata(files)
        self._inventory, self._opened_values = self._read_inventory(files[ROOT_METADATA]), None

    def sole_writer(self, announce: Announce = lambda sentence: None) -> AbstractContextManager[WriterLock]:
        """Hold the dataset's lock while writing, and remove unfinished files of a killed run.

        Args:
            announce: called with a sentence when the lock has to be waited for.

        Raises:
            PipelineError: another process is writing the dataset.
        """
        return sole_writer(self.storage, LOCK, announce)

    def refuse_unfinished(self) -> None:
        """Make sure that all shards are still committed after all were reported as made.

        Raises:
            PipelineError: the root's metadata or commit records are gone.
        """
        self.refuse_lost_root()
        if missing := self.layout.shard_count - len(self.committed()):
            raise PipelineError(
                f"{self.name}: {missing} of {self.layout.shard_count} commit records are gone: they were deleted while "
                "this command was running. Run the same command again: it makes what is missing."
            )

    def committed(self) -> set[int]:
        """Return the numbers of the shards that exist."""
        return {shard for shard in self.commits.shard_numbers() if shard < self.layout.shard_count}

    def failures(self) -> list[Failure]:
        """Return the failures of all committed shards, by row."""
        records = self.commits.read_all(sorted(self.committed()))
        return [Failure(**failure) for _, record in records for failure in record["failures"]]

    def remade(self, name: str, rows: Sequence[int]) -> list[NDArray[Any]] | None:
        """Return rows of an array that the dataset leaves out, made again; None if it does not leave it out."""

    def read(self, name: str, rows: int | slice) -> NDArray[Any]:
        """Return the stored values, not decoded, of some rows of one array.

        Raises:
            PipelineError: the values are damaged or lost, or the store fails.
        """
        return self._values.read(name, rows)

    @property
    def _values(self) -> StoredValues:
        if self._opened_values is None:
            from pipeline.dataset.stored_values import StoredValues  # Zarr takes as long to load as all else together

            self._opened_values = StoredValues(self.storage, self.layout.samples_per_shard)
        return self._opened_values

    def _read_inventory(self, metadata: bytes) -> Inventory:
        try:
            return read_inventory(metadata, lambda layout: self.specs(self.read_layout(layout)))
        except DamagedFileError as damage:
            raise root_is_damaged(self.storage, str(damage)) from None

    def _metadata(self, layout: AnyLayout, attributes: Mapping[str, Any]) -> dict[str, bytes]:
        from pipeline.dataset.metadata import metadata_files

        sizes = {name: value for name, value in asdict(layout).items() if value or name not in self.rare_sizes}
        whole = {"kind": self.kind, "schema_version": self.version, "layout": sizes, **attributes}
        return metadata_files(self.specs(layout), layout.samples_per_shard, whole)

    def _write_metadata(self, files: Mapping[str, bytes]) -> None:
        for key in sorted(files, key=lambda key: (key == ROOT_METADATA, key)):
            self.storage.write(key, files[key])

    def refuse_lost_root(self) -> None:
        """Make sure that the root's metadata are still those of this dataset.

        Raises:
            PipelineError: they are gone or were replaced.
        """
        content = self.storage.read_if_there(ROOT_METADATA)
        if content is None or self._read_inventory(content).attributes != self.attributes:
            what = "is gone" if content is None else "is another dataset's"
            raise PipelineError(
                f"{self.name}: its {ROOT_METADATA} {what}: the dataset was deleted, moved or replaced while this "
                "command was running. Run the same command again to make it anew, or to go on."
            )
