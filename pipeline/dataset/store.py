"""A dataset on disk or in an object store: create it, write whole shards, commit them, read them.

A shard counts when its commit record exists (`pipeline.dataset.commits`), which is written last; so a process may die
at any point without damage. The root's `zarr.json` holds the checksums of the metadata, and its own.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from shlex import quote
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
import zarr
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from numpy.typing import NDArray
from zarr.storage import FsspecStore, LocalStore

from pipeline.dataset.commits import (
    COMMITS_NOTE,
    COMMITS_NOTE_TEXT,
    PRIVATE_FOLDER,
    CommitRecords,
    Failure,
    commit_key,
    how_to_mend,
)
from pipeline.dataset.inventory import MALFORMED, DamagedFileError, Inventory, read_inventory
from pipeline.dataset.metadata import OURS, ROOT_METADATA, encode_small_shard, metadata_files, shard_key
from pipeline.dataset.schema import NOT_MADE, SCHEMA_VERSION, USABLE, ArraySpec, Layout, ShardedLayout, array_specs
from pipeline.dataset.sealed import is_intact, sealed_json
from pipeline.dataset.shards import Map, encode_shard
from pipeline.errors import PipelineError
from pipeline.files.locks import Announce, WriterLock, sole_writer
from pipeline.files.storage import Storage, explained
from pipeline.photos.originals import Record

RUNS = f"{PRIVATE_FOLDER}/runs"
LOCK = f"{PRIVATE_FOLDER}/lock"


AnyLayout = TypeVar("AnyLayout", bound=ShardedLayout)


class ShardedStore(ABC, Generic[AnyLayout]):
    """One dataset of any kind at an fsspec URL; a kind says which arrays it has.

    Attributes:
        kind: what it holds, kept in the attributes.
        commits: its commit records.
        version: of the kind's arrays.
        made_by: the command that makes one; `{url}` stands for its place.

    Raises:
        PipelineError: (`open`) nothing there, or something else than a dataset of this kind and version.
    """

    kind: ClassVar[str]
    version: ClassVar[int]
    made_by: ClassVar[str]

    @staticmethod
    @abstractmethod
    def specs(layout: AnyLayout) -> dict[str, ArraySpec]:
        """Return name -> specification of every array."""

    @staticmethod
    @abstractmethod
    def read_layout(stored: Mapping[str, Any]) -> AnyLayout:
        """Return the layout that `create` kept as plain values."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.storage = Storage(url)
        self._advice = "Choose a place that does not exist yet."
        self.commits = CommitRecords(self.storage, lambda: self.inventory)
        self._inventory: Inventory | None = None
        self._group: zarr.Group | None = None

    @property
    def name(self) -> str:
        """The URL without credentials, for messages."""
        return self.storage.name

    @property
    def root(self) -> str:
        """The place as its file system names it."""
        return self.storage.root

    # ---- what is there

    def exists(self) -> bool:
        """Tell whether a dataset of this project is at the URL.

        Raises:
            PipelineError: something else is there.
        """
        if not self.storage.is_there():
            return False
        metadata = self.storage.read_if_there(ROOT_METADATA)
        if metadata is None:
            if self.storage.is_file():
                raise PipelineError(f"{self.name} is a file, not a dataset. {self._advice}")
            names = self.storage.names()
            if names and PRIVATE_FOLDER not in names:
                shown = ", ".join(names[:3]) + ("..." if len(names) > 3 else "")
                raise PipelineError(f"{self.name} is a folder with other files in it ({shown}). {self._advice}")
            return False
        ours = our_attributes(metadata, self.storage)
        if ours is None:
            raise PipelineError(f"{self.name} is a Zarr store that fakeflow did not write. {self._advice}")
        if (kind := ours.get("kind", DatasetStore.kind)) != self.kind:
            raise PipelineError(f"{self.name} holds {kind}, not {self.kind}. {self._advice}")
        version = ours.get("schema_version")
        if version != self.version:
            raise PipelineError(
                f"{self.name} has schema version {version}, this fakeflow reads version {self.version}. "
                f"Use the version of fakeflow that wrote it, or make the dataset again in another place."
            )
        self._inventory = self._read_inventory(metadata)
        return True

    @classmethod
    def open(cls, url: str) -> Self:
        """Open an existing dataset."""
        store = cls(url)
        store._advice = f"Expected what `{cls.made_by.format(url='FOLDER')}` makes."
        if not store.exists():
            raise PipelineError(
                f"{store.name}: there is no dataset here. Make one with `{cls.made_by.format(url=quote(store.name))}`."
            )
        return store

    @property
    def group(self) -> zarr.Group:
        """The Zarr group, for reading and for whole-shard writes."""
        if self._group is None:
            with explained(self.name, "read"):
                self._group = zarr.open_group(self._zarr_store(), mode="r+", use_consolidated=True)
        return self._group

    @property
    def inventory(self) -> Inventory:
        """What the root's metadata say, compared with the schema."""
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

    # ---- making it

    def create(self, layout: AnyLayout, attributes: Mapping[str, Any]) -> None:
        """Write the metadata of all arrays, the group's last, so that a half-made dataset is not one.

        Args:
            layout: sizes.
            attributes: plain values, kept as the group attribute `fakeflow`.
        """
        files = self._metadata(layout, attributes)
        self._inventory = self._read_inventory(files[ROOT_METADATA])
        self.commits.drop_foreign()
        self.storage.write(COMMITS_NOTE, COMMITS_NOTE_TEXT)
        self._write_metadata(files)

    def grow(self, layout: AnyLayout, attributes: Mapping[str, Any]) -> None:
        """Add rows at the end; shards that were full stay, one that was not is made again.

        Args:
            layout: as before, with more rows.
            attributes: as for `create`; the new fingerprint joins the earlier ones, which the shards' records have.
        """
        before, last = self.layout, self.layout.shard_count - 1
        earlier = [*self.attributes.get("earlier_fingerprints", ()), self.attributes["fingerprint"]]
        if len(layout.rows(last)) > len(before.rows(last)):
            self.commits.drop(last)
        files = self._metadata(layout, {**attributes, "earlier_fingerprints": earlier})
        self._write_metadata(files)
        self._inventory, self._group = self._read_inventory(files[ROOT_METADATA]), None

    @contextmanager
    def sole_writer(self, announce: Announce = lambda sentence: None) -> Iterator[WriterLock]:
        """Hold the dataset's lock while writing, and sweep what a killed run left.

        Args:
            announce: told on what is waited for.

        Raises:
            PipelineError: another process is writing the dataset.
        """
        with sole_writer(self.storage, LOCK, announce) as lock:
            yield lock

    def write_shard(
        self,
        shard: int,
        arrays: Mapping[str, NDArray[Any]],
        failures: list[Failure],
        precision: str,
        parallel: Map = map,
        originals: Sequence[Record] = (),
    ) -> None:
        """Write one shard whole, read it back, compare, and commit it.

        Args:
            shard: its number.
            arrays: every array of the schema, its first axis the rows of this shard.
            failures: the rows that could not be used.
            precision: the arithmetic that the network ran in, kept in the commit record.
            parallel: `map`, or that of an executor, to encode the samples with.
            originals: for each row, what it was made of, as in the commit record.

        Raises:
            PipelineError: no room, no permission, or the store returned other values than were written.
        """
        self._refuse_lost_root()
        layout, specs = self.layout, self.specs(self.layout)
        self.commits.drop(shard)
        with ThreadPoolExecutor(1) as disk:  # one array is stored while the next is encoded
            stored = {}
            for name, values in arrays.items():
                if specs[name].has_sample_chunks:
                    content = encode_shard(values, layout.samples_per_shard, parallel)
                else:
                    content = encode_small_shard(specs[name], layout.samples_per_shard, values)
                key = shard_key(name, values.ndim, shard)
                stored[key] = disk.submit(self._write_object, key, content)
            checksums = {key: checksum.result() for key, checksum in stored.items()}
        self.commits.write(shard, checksums, failures, self.attributes.get("fingerprint"), precision, originals)

    def refuse_unfinished(self) -> None:
        """Look at what is stored when all shards were reported as made.

        Raises:
            PipelineError: the root's metadata or commit records are gone.
        """
        self._refuse_lost_root()
        if missing := self.layout.shard_count - len(self.committed()):
            raise PipelineError(
                f"{self.name}: {missing} of {self.layout.shard_count} commit records are gone: they were deleted while "
                "this command was running. Run the same command again: it makes what is missing."
            )

    def put_run_record(self, name: str, record: Mapping[str, Any]) -> None:
        """Keep a note on a run, which is no part of the content.

        Raises:
            PipelineError: no room or no permission.
        """
        self.storage.write(f"{RUNS}/{name}.json", sealed_json(dict(record)))

    # ---- reading it

    def run_records(self) -> dict[str, dict[str, Any]]:
        """Return name -> record of the notes on runs; empty where none were kept. Damaged ones are left out."""
        names = [name for name in self.storage.names(RUNS) if name.endswith(".json")]
        notes = {name.removesuffix(".json"): self.storage.read(f"{RUNS}/{name}") for name in names}
        return {name: json.loads(content) for name, content in notes.items() if is_intact(content)}

    def committed(self) -> set[int]:
        """Return the numbers of the shards that exist."""
        return {shard for shard in self.commits.shard_numbers() if shard < self.layout.shard_count}

    def failures(self) -> list[Failure]:
        """Return the failures of all committed shards, by row."""
        return [failure for shard in sorted(self.committed()) for failure in self.commits.failures(shard)]

    def read(self, name: str, rows: int | slice) -> NDArray[Any]:
        """Return stored values (not decoded) of some rows of one array.

        Raises:
            PipelineError: they are damaged or lost, or the store fails.
        """
        try:
            with explained(self.name, "read"):
                values: NDArray[Any] = np.asarray(self._array(name)[rows])
        except (ValueError, RuntimeError) as error:  # what Zarr's codecs raise
            if isinstance(error, PipelineError):
                raise
            raise PipelineError(f"{self.name}: the array {name} is damaged. {how_to_mend(self.storage)}") from error
        self._refuse_lost(name, rows, values)
        return values

    # ---- inside

    def _read_inventory(self, metadata: bytes) -> Inventory:
        try:
            return read_inventory(metadata, lambda layout: self.specs(self.read_layout(layout)))
        except DamagedFileError as damage:
            raise _root_is_damaged(self.storage, str(damage)) from None

    def _metadata(self, layout: AnyLayout, attributes: Mapping[str, Any]) -> dict[str, bytes]:
        whole = {"kind": self.kind, "schema_version": self.version, "layout": asdict(layout), **attributes}
        return metadata_files(self.specs(layout), layout.samples_per_shard, whole)

    def _write_metadata(self, files: Mapping[str, bytes]) -> None:
        for key in sorted(files, key=lambda key: (key == ROOT_METADATA, key)):
            self.storage.write(key, files[key])

    def _refuse_lost_root(self) -> None:
        content = self.storage.read_if_there(ROOT_METADATA)
        if content is None or self._read_inventory(content).attributes != self.attributes:
            what = "is gone" if content is None else "is another dataset's"
            raise PipelineError(
                f"{self.name}: its {ROOT_METADATA} {what}: the dataset was deleted, moved or replaced while this "
                "command was running. Run the same command again to make it anew, or to go on."
            )

    def _array(self, name: str) -> zarr.Array[Any]:
        array = self.group[name]
        assert isinstance(array, zarr.Array)
        return array

    def _refuse_lost(self, name: str, rows: int | slice, values: NDArray[Any]) -> None:
        """Make sure that what reads as empty was written so: Zarr takes an object that is gone for an empty one."""
        array = self._array(name)
        shard_of_row = np.atleast_1d(np.arange(array.shape[0])[rows] // self.layout.samples_per_shard)
        samples = values[None] if isinstance(rows, int) else values
        for shard, first, count in zip(*np.unique(shard_of_row, return_index=True, return_counts=True), strict=True):
            key = shard_key(name, array.ndim, int(shard))
            is_empty = (samples[first : first + count] == array.fill_value).all()
            if is_empty and not self.storage.has(key) and self.storage.has(commit_key(int(shard))):
                raise PipelineError(f"{self.name}: {key} is lost. {how_to_mend(self.storage)}")

    def _zarr_store(self) -> LocalStore | FsspecStore:
        if self.storage.is_local:
            return LocalStore(self.root)
        # Zarr's own way opens a second session, which nobody closes.
        return FsspecStore(AsyncFileSystemWrapper(self.storage.filesystem, asynchronous=True), path=self.root)

    def _write_object(self, key: str, content: bytes) -> str:
        """Write an object, read it back, and return its sha256."""
        self.storage.write(key, content)
        if self.storage.read(key) != content:
            raise PipelineError(
                f"{self.name}: {key} reads back other bytes than were written. Check the disk or store."
            )
        return hashlib.sha256(content).hexdigest()


class DatasetStore(ShardedStore[Layout]):
    """A dataset of photos with depth, flow and masks."""

    kind = "photos"
    version = SCHEMA_VERSION
    made_by = "pipeline run --input ... --output {url}"

    @staticmethod
    def specs(layout: Layout) -> dict[str, ArraySpec]:
        """Return name -> specification of every array."""
        return array_specs(layout)

    @staticmethod
    def read_layout(stored: Mapping[str, Any]) -> Layout:
        """Return the layout that `create` kept as plain values."""
        return Layout(**{**stored, "motion_parameters": tuple(stored["motion_parameters"])})

    def states(self) -> NDArray[np.uint8]:
        """Return the status of every row: `NOT_MADE` in shards that do not exist, whatever is stored of them."""
        status: NDArray[np.uint8] = self.read("status", slice(None)).copy()
        for shard in set(range(self.layout.shard_count)) - self.committed():
            rows = self.layout.rows(shard)
            status[rows.start : rows.stop] = NOT_MADE
        return status

    def usable_rows(self) -> NDArray[np.int64]:
        """Return the rows that hold a sample, in order: those of shards that exist that did not fail."""
        return np.flatnonzero(self.states() == USABLE)


def our_attributes(root_metadata: bytes, storage: Storage) -> dict[str, Any] | None:
    """Return what the root's metadata says of a dataset of this project; None if it is none.

    Raises:
        PipelineError: the metadata is damaged.
    """
    try:
        ours = json.loads(root_metadata).get("attributes", {}).get(OURS)
    except MALFORMED:
        raise _root_is_damaged(storage, "is no JSON object") from None
    return ours if isinstance(ours, dict) else None


def _root_is_damaged(storage: Storage, how: str) -> PipelineError:
    return PipelineError(
        f"{storage.name}: {ROOT_METADATA} {how}; it is damaged, or another tool changed it. {how_to_mend(storage)}"
    )
