"""A dataset on disk or in an object store: create it, write whole shards, commit them, read them.

A shard counts when its commit record `.fakeflow/commits/<shard>.json` exists. The record is written last, atomically,
after the shard's arrays have been read back and compared; so a process may die at any point without damage.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import uuid
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import fsspec
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.storage import FsspecStore, LocalStore, MemoryStore

from pipeline.errors import PipelineError
from pipeline.schema import SCHEMA_VERSION, ArraySpec, Layout, ShardedLayout, array_specs
from pipeline.shards import Map, chunk_codecs, encode_shard

PRIVATE_FOLDER = ".fakeflow"
OUT_OF_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True)
class Failure:
    """A photo that could not be used: its row, id, a short machine-readable reason and a sentence."""

    row: int
    id: str
    reason: str
    message: str


AnyLayout = TypeVar("AnyLayout", bound=ShardedLayout)


class ShardedStore(ABC, Generic[AnyLayout]):
    """One dataset of any kind at an fsspec URL; a kind says which arrays it has.

    Attributes:
        kind: what it holds, kept in the attributes.
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
        self.filesystem, self.root = fsspec.core.url_to_fs(url)
        self.is_local = "file" in np.atleast_1d(self.filesystem.protocol)
        self._attributes: dict[str, Any] | None = None
        self._group: zarr.Group | None = None

    # ---- what is there

    def exists(self) -> bool:
        """Tell whether a dataset of this project is at the URL.

        Raises:
            PipelineError: something else is there.
        """
        root_metadata = f"{self.root}/zarr.json"
        if not self.filesystem.exists(self.root):
            return False
        if not self.filesystem.isdir(self.root):
            raise PipelineError(f"{self.url} is a file, not a dataset. Choose another --output.")
        if self.filesystem.exists(root_metadata):
            metadata = json.loads(self.filesystem.cat_file(root_metadata))
            if "fakeflow" not in metadata.get("attributes", {}):
                raise PipelineError(f"{self.url} is a Zarr store that fakeflow did not write. Choose another --output.")
            ours = metadata["attributes"]["fakeflow"]
            if (kind := ours.get("kind", DatasetStore.kind)) != self.kind:
                raise PipelineError(f"{self.url} holds {kind}, not {self.kind}. Choose another place.")
            version = ours["schema_version"]
            if version != self.version:
                raise PipelineError(
                    f"{self.url} has schema version {version}, this fakeflow reads version {self.version}. "
                    f"Use the version of fakeflow that wrote it, or make the dataset again in another place."
                )
            return True
        entries = [Path(p).name for p in self.filesystem.ls(self.root, detail=False)]
        if entries and PRIVATE_FOLDER not in entries:
            raise PipelineError(
                f"{self.url} is a folder with other files in it ({', '.join(sorted(entries)[:3])}...). "
                f"Choose an --output that does not exist yet."
            )
        return False

    @classmethod
    def open(cls, url: str) -> Self:
        """Open an existing dataset."""
        store = cls(url)
        if not store.exists():
            raise PipelineError(f"{url}: there is no dataset here. Make one with `{cls.made_by.format(url=url)}`.")
        return store

    @property
    def group(self) -> zarr.Group:
        """The Zarr group, for reading and for whole-shard writes."""
        if self._group is None:
            self._group = zarr.open_group(self._zarr_store(), mode="r+", use_consolidated=True)
        return self._group

    @property
    def attributes(self) -> dict[str, Any]:
        """The group attribute `fakeflow`: schema version, configuration, fingerprint, provenance."""
        if self._attributes is None:
            self._attributes = dict(self.group.attrs["fakeflow"])  # type: ignore[arg-type]
        return self._attributes

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
        in_memory = MemoryStore()
        whole = {"kind": self.kind, "schema_version": self.version, "layout": asdict(layout), **attributes}
        group = zarr.create_group(in_memory, attributes={"Conventions": "CF-1.11", "fakeflow": whole})
        specs = self.specs(layout)
        for name, spec in specs.items():
            _create_array(group, name, spec, layout)
        if specs:  # a group without arrays is there for the groups below it, which may become more
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
                zarr.consolidate_metadata(in_memory)
        files = {key: value.to_bytes() for key, value in in_memory._store_dict.items()}
        with _explained(self.url):
            self._put(f"{PRIVATE_FOLDER}/commits/README", b"A shard without a record here does not exist.\n")
            for key in sorted(files, key=lambda key: (key == "zarr.json", key)):
                self._put(key, files[key])

    @contextmanager
    def sole_writer(self) -> Iterator[None]:
        """Hold the dataset's lock while writing (local file systems only), and sweep what a killed run left.

        Raises:
            PipelineError: another process on this machine is writing the dataset.
        """
        if not self.is_local:
            yield
            return
        import fcntl

        private = Path(self.root) / PRIVATE_FOLDER
        with _explained(self.url):
            private.mkdir(parents=True, exist_ok=True)
            lock_file = (private / "lock").open("w")
        with lock_file as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise PipelineError(
                    f"Another run is writing {self.url}. Wait for it, or choose another --output."
                ) from None
            for stray in Path(self.root).rglob("*.partial"):
                stray.unlink(missing_ok=True)
            yield

    def write_shard(
        self,
        shard: int,
        arrays: Mapping[str, NDArray[Any]],
        failures: list[Failure],
        precision: str,
        parallel: Map = map,
    ) -> None:
        """Write one shard whole, read it back, compare, and commit it.

        Args:
            shard: its number.
            arrays: every array of the schema, its first axis the rows of this shard.
            failures: the rows that could not be used.
            precision: the arithmetic that the network ran in, kept in the commit record.
            parallel: `map`, or that of an executor, to encode the samples with.

        Raises:
            PipelineError: no room, no permission, or the store returned other values than were written.
        """
        with _explained(self.url):
            self._drop_commit(shard)
            with ThreadPoolExecutor(1) as disk:  # one array is stored while the next is encoded
                stored = {}
                for name, values in arrays.items():
                    array, key = self._array(name), shard_key(name, values.ndim, shard)
                    if array.shards is None:
                        self._write_rows(array, key, self.layout.rows(shard), values)
                    else:
                        stored[key] = disk.submit(
                            self._write_object, key, encode_shard(values, array.shards[0], parallel)
                        )
                checksums = {key: checksum.result() for key, checksum in stored.items()}
            record = {
                "shard": shard,
                "precision": precision,
                "objects": checksums,
                "failures": [asdict(failure) for failure in failures],
            }
            self._put(_commit_key(shard), json.dumps(record, indent=1, ensure_ascii=False).encode())

    def put_run_record(self, name: str, record: Mapping[str, Any]) -> None:
        """Keep a note on a run, which is no part of the content.

        Raises:
            PipelineError: no room or no permission.
        """
        with _explained(self.url):
            self._put(f"{PRIVATE_FOLDER}/runs/{name}.json", json.dumps(record, indent=1).encode())

    # ---- reading it

    def run_records(self) -> dict[str, dict[str, Any]]:
        """Return name -> record of the notes on runs; empty where none were kept."""
        folder = f"{self.root}/{PRIVATE_FOLDER}/runs"
        self.filesystem.invalidate_cache(folder)
        try:
            paths = self.filesystem.ls(folder, detail=False)
        except FileNotFoundError:
            return {}
        return {Path(path).stem: json.loads(self.filesystem.cat_file(path)) for path in paths if path.endswith(".json")}

    def committed(self) -> set[int]:
        """Return the numbers of the shards that exist."""
        folder = f"{self.root}/{PRIVATE_FOLDER}/commits"
        self.filesystem.invalidate_cache(folder)
        names = (Path(path).name for path in self.filesystem.ls(folder, detail=False))
        return {int(name.removesuffix(".json")) for name in names if name.endswith(".json")}

    def commit_record(self, shard: int) -> dict[str, Any]:
        """Return what `write_shard` recorded: checksums of the stored objects, and failures."""
        record: dict[str, Any] = json.loads(self.filesystem.cat_file(f"{self.root}/{_commit_key(shard)}"))
        return record

    def failures(self) -> list[Failure]:
        """Return the failures of all committed shards, by row."""
        return [
            Failure(**failure)
            for shard in sorted(self.committed())
            for failure in self.commit_record(shard)["failures"]
        ]

    def read(self, name: str, rows: int | slice) -> NDArray[Any]:
        """Return stored values (not decoded) of some rows of one array."""
        values: NDArray[Any] = np.asarray(self._array(name)[rows])
        return values

    # ---- inside

    def _array(self, name: str) -> zarr.Array[Any]:
        array = self.group[name]
        assert isinstance(array, zarr.Array)
        return array

    def _zarr_store(self) -> LocalStore | FsspecStore:
        if self.is_local:
            return LocalStore(self.root)
        return FsspecStore.from_url(self.url)

    def _write_rows(self, array: zarr.Array[Any], key: str, rows: range, values: NDArray[Any]) -> None:
        """Write the rows of a small array by zarr and read them back."""
        with suppress(FileNotFoundError):  # else zarr would merge with what is there, and that may be damaged
            self.filesystem.rm_file(f"{self.root}/{key}")
        array[rows.start : rows.stop] = values
        self._check(key, np.array_equal(array[rows.start : rows.stop], values))

    def _write_object(self, key: str, content: bytes) -> str:
        """Write an encoded shard, read it back, and return its sha256."""
        self._put(key, content)
        self._check(key, self.filesystem.cat_file(f"{self.root}/{key}") == content)
        return hashlib.sha256(content).hexdigest()

    def _check(self, key: str, is_intact: bool) -> None:
        if not is_intact:
            raise PipelineError(f"{self.url}: {key} reads back other bytes than were written. Check the disk or store.")

    def _drop_commit(self, shard: int) -> None:
        with suppress(FileNotFoundError):
            self.filesystem.rm_file(f"{self.root}/{_commit_key(shard)}")

    def _put(self, key: str, content: bytes) -> None:
        """Write one small object atomically: by rename on a local file system, by a single PUT elsewhere."""
        path = f"{self.root}/{key}"
        if not self.is_local:
            self.filesystem.pipe_file(path, content)
            return
        final = Path(path)
        final.parent.mkdir(parents=True, exist_ok=True)
        partial = final.with_name(f"{final.name}.{uuid.uuid4().hex}.partial")
        with partial.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(final)


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


def _create_array(group: zarr.Group, name: str, spec: ArraySpec, layout: ShardedLayout) -> None:
    shard = (layout.samples_per_shard, *spec.shape[1:])
    if not spec.has_sample_chunks:
        group.create_array(
            name,
            shape=spec.shape,
            dtype=spec.dtype,
            chunks=shard,
            compressors=[ZstdCodec(level=1), Crc32cCodec()],
            fill_value=spec.fill_value,
            attributes=dict(spec.attributes),
            dimension_names=spec.dimensions,
        )
        return
    group.create_array(
        name,
        shape=spec.shape,
        dtype=spec.dtype,
        chunks=(1, *spec.shape[1:]),
        shards=shard,
        compressors=chunk_codecs(np.dtype(spec.dtype)),
        fill_value=spec.fill_value,
        attributes=dict(spec.attributes),
        dimension_names=spec.dimensions,
    )


def shard_key(name: str, dimensions: int, shard: int) -> str:
    return "/".join((name, "c", str(shard), *["0"] * (dimensions - 1)))


def _commit_key(shard: int) -> str:
    return f"{PRIVATE_FOLDER}/commits/{shard:06d}.json"


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Turn an operating system's error while writing into a sentence with a repair."""
    try:
        yield
    except OSError as error:
        if error.errno in OUT_OF_SPACE:
            raise PipelineError(
                f"{url}: no space left. Make room and run the same command again: it resumes."
            ) from error
        raise PipelineError(
            f"{url}: cannot write ({error}). Repair this and run the same command again: it resumes."
        ) from error
