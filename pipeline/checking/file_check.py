"""Checks that every file of a dataset has the bytes that were written, and belongs to the dataset.

Every file is covered by a checksum. Commit records hold the checksums of the objects of their shards, and the root's
metadata those of the arrays' metadata. Records, the root's metadata and the manifest of a published dataset hold their
own checksums (`pipeline.dataset.sealed`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pipeline.checking.findings import Finding, Verification
from pipeline.command.progress import Progress
from pipeline.dataset.commits import (
    COMMITS,
    COMMITS_NOTE,
    COMMITS_NOTE_TEXT,
    PRIVATE_FOLDER,
    read_record,
    shard_of_record,
)
from pipeline.dataset.flow_convention import without_convention
from pipeline.dataset.inventory import MALFORMED, DamagedFileError, Inventory, SpecsOf, read_inventory
from pipeline.dataset.keys import OURS, ROOT_METADATA
from pipeline.dataset.published_files import MADE_BY_HOSTS, MANIFEST, PUBLISHED_EXTRAS, read_manifest
from pipeline.dataset.run_log import RUNS
from pipeline.dataset.sealed import is_intact
from pipeline.dataset.sharded_store import COPYING, LOCK
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from pipeline.files.locks import is_held
from pipeline.files.storage import Storage, is_plain_key
from pipeline.files.whole_files import PARTIAL
from pipeline.making.config import fingerprint

READERS = 4
"""Largest number of objects that are read, and held in memory, at the same time."""
NO_PART = frozenset({LOCK, COPYING, *MADE_BY_HOSTS})
"""Files that may lie in a dataset without being part of it; their contents are not read."""


@dataclass(frozen=True)
class _Object:
    """An object of a shard, with its checksum from the commit record."""

    key: str
    sha256: str
    shard: int


class FileChecker:
    """Checks all files below a URL, group by group.

    Attributes:
        result: the findings so far.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.sizes = storage.sizes()
        self.result = Verification()
        self._tolerated: set[str] = set()
        self._objects: list[_Object] = []
        self._strange = {key for key in self.sizes if not is_plain_key(key)}

    def check(self, progress: Progress) -> None:
        """Check every file.

        Args:
            progress: told how many objects are checked.
        """
        plain = {key: size for key, size in self.sizes.items() if key not in self._strange}
        for folder in groups(plain):
            self._check_group(folder, [key for key in plain if key.startswith(folder)])
        self._check_objects(progress)
        self._check_manifest()
        surplus = self.sizes.keys() - self.result.files.keys() - self._tolerated - NO_PART
        for key in sorted(surplus - self._live_partials(surplus)):
            self._add_finding(key, "does not belong to the dataset", is_surplus=True)
        if unread := sorted(self.sizes.keys() & NO_PART):
            self.result.notes.append(f"not read, because they are not part of the dataset: {', '.join(unread)}")

    def _add_finding(self, key: str, problem: str, shard: int | None = None, *, is_surplus: bool = False) -> None:
        self.result.findings.append(Finding(key, problem, shard, is_surplus=is_surplus))

    def _live_partials(self, surplus: set[str]) -> set[str]:
        """Return those of the surplus files that a live run is writing, or has renamed in the meantime."""
        partials = {key for key in surplus if key.endswith(PARTIAL)}
        if partials and is_held(self.storage, LOCK):
            self.result.notes.append("another run is writing the dataset, so its unfinished files were not checked")
            return partials
        return {key for key in partials if key not in self._strange and not self.storage.has(key)}

    def _check_group(self, folder: str, keys: list[str]) -> None:
        """Check the metadata and commit records of one group, and list its objects."""
        root = f"{folder}{ROOT_METADATA}"
        content = self.storage.read_if_there(root)
        inventory = self._check_root(root, content)
        if inventory is None:  # without it, the files of the group cannot be told from others
            self._tolerated |= {root, *(key for key in keys if _may_be_of_group(key[len(folder) :]))}
            self.result.notes.append(f"{root} is damaged or missing, so the arrays were not checked")
            return
        self._check_note(folder)
        prefix = f"{folder}{COMMITS}/"
        names = sorted(key.removeprefix(prefix) for key in keys if key.startswith(prefix))
        recorded = {shard: f"{prefix}{name}" for name in names if (shard := shard_of_record(name)) is not None}
        recorded = {shard: key for shard, key in recorded.items() if shard < inventory.shard_count}
        left_over = {str(shard) for shard in set(range(inventory.shard_count)) - recorded.keys()}
        self.result.shard_count += inventory.shard_count
        self.result.missing_shard_count += len(left_over)
        for shard, key in sorted(recorded.items()):
            if not self._check_record(folder, key, shard, inventory):
                left_over.add(str(shard))  # its objects are no surplus: repair removes them with the shard
        self._tolerated |= {key for key in keys if _shard_of(key[len(folder) :]) in left_over}
        self._check_run_notes(folder, keys)
        self._check_arrays(folder, inventory)
        self.result.files[root] = _sha256(content or b"")

    def _check_root(self, key: str, content: bytes | None) -> Inventory | None:
        if content is None:
            self._add_finding(key, "is missing")
            return None
        try:
            inventory = read_inventory(content, _schema_of(content))
        except DamagedFileError as damage:
            self._add_finding(key, str(damage))
            return None
        attributes = inventory.attributes
        if "settings" in attributes and attributes.get("fingerprint") != fingerprint(attributes["settings"]):
            self._add_finding(key, "has settings that do not give its fingerprint")
        if attributes.get("kind") == DatasetStore.kind:
            for problem in _differences_from_schema(inventory):
                self._add_finding(key, problem)
        return inventory

    def _check_note(self, folder: str) -> None:
        key = f"{folder}{COMMITS_NOTE}"
        if self.storage.read_if_there(key) != COMMITS_NOTE_TEXT:
            self._add_finding(key, "is missing or changed")
        self.result.files[key] = _sha256(COMMITS_NOTE_TEXT)

    def _check_record(self, folder: str, key: str, shard: int, inventory: Inventory) -> bool:
        """Check a commit record and list its objects; return whether the record is valid."""
        content = self.storage.read_if_there(key) or b""
        try:
            record = read_record(content, shard, inventory)
        except DamagedFileError as damage:
            self._add_finding(key, str(damage), shard)
            self._tolerated.add(key)
            return False
        for name, sha256 in record["objects"].items():
            self._objects.append(_Object(f"{folder}{name}", sha256, shard))
            self.result.files[f"{folder}{name}"] = sha256
        self.result.files[key] = _sha256(content)
        return True

    def _check_run_notes(self, folder: str, keys: list[str]) -> None:
        notes = [key for key in keys if key.startswith(f"{folder}{RUNS}/") and key.endswith(".json")]
        self._tolerated |= set(notes)
        for key in notes:
            if not is_intact(self.storage.read_if_there(key) or b""):
                self._add_finding(key, "differs from its own checksum", is_surplus=True)

    def _check_arrays(self, folder: str, inventory: Inventory) -> None:
        """Check the metadata of the arrays."""
        for name, sha256 in inventory.metadata.items():
            key = f"{folder}{name}"
            self.result.files[key] = sha256
            content = self.storage.read_if_there(key)
            if content is None:
                self._add_finding(key, "is missing")
            elif _sha256(content) != sha256:
                self._add_finding(key, "differs from its checksum in the root's zarr.json")
            elif not _says(content, inventory.arrays[name.removesuffix(f"/{ROOT_METADATA}")]):
                self._add_finding(key, "differs from what the root's zarr.json says about it")

    def _check_objects(self, progress: Progress) -> None:
        """Compare all objects with their checksums."""
        with ThreadPoolExecutor(READERS, thread_name_prefix="verify") as pool:
            for done, finding in enumerate(pool.map(self._check_object, self._objects), 1):
                if finding:
                    self.result.findings.append(finding)
                progress.update(len(self._objects), done, len(self.result.findings))
        self.result.objects = len(self._objects)

    def _check_object(self, item: _Object) -> Finding | None:
        if item.key not in self.sizes:
            return Finding(item.key, "is missing", item.shard)
        content = self.storage.read_if_there(item.key)
        if content is None or _sha256(content) != item.sha256:
            size = self.sizes[item.key]
            return Finding(item.key, f"has other bytes than were written ({size:,} bytes now)", item.shard)
        return None

    def _check_manifest(self) -> None:
        """Check the manifest and the other files that `publish` adds."""
        if MANIFEST not in self.sizes:
            return
        self._tolerated.add(MANIFEST)
        try:
            listed = read_manifest(self.storage)
        except PipelineError as damage:
            self._add_finding(MANIFEST, str(damage))
            self._tolerated |= {*PUBLISHED_EXTRAS}
            return
        for key in PUBLISHED_EXTRAS:
            if key not in listed:
                continue
            self._tolerated.add(key)
            content = self.storage.read_if_there(key)
            if content is None or _sha256(content) != listed[key]["sha256"]:
                self._add_finding(key, "is missing or differs from its checksum in the manifest")
        if self.result.is_whole:
            checksums = {key: entry["sha256"] for key, entry in listed.items() if key not in PUBLISHED_EXTRAS}
            different = sorted(dict(self.result.files.items() ^ checksums.items()))
            if different:
                self._add_finding(MANIFEST, f"lists other files than the dataset has: {', '.join(different[:3])}")


def groups(sizes: dict[str, int]) -> list[str]:
    """Return the folders that hold a dataset of their own, the root first; each is empty or ends with `/`."""
    note = f"/{COMMITS_NOTE}"
    inner = {key.removesuffix(COMMITS_NOTE) for key in sizes if key.endswith(note)}
    inner |= {key.partition(f"{COMMITS}/")[0] for key in sizes if f"/{COMMITS}/" in key}
    return ["", *sorted(inner)]


def is_of_shard(key: str, shard: int) -> bool:
    """Return whether a file of a group is an object of a shard."""
    return _shard_of(key) == str(shard)


def _schema_of(content: bytes) -> SpecsOf | None:
    """Return the schema of a dataset of photos of this version; None for other kinds and versions."""
    try:
        attributes = json.loads(content)["attributes"][OURS]
        is_known = attributes["kind"] == DatasetStore.kind and DatasetStore.reads(attributes["schema_version"])
    except MALFORMED:
        return None
    return (lambda layout: DatasetStore.specs(DatasetStore.read_layout(layout))) if is_known else None


def _differences_from_schema(inventory: Inventory) -> Iterator[str]:
    """Yield the differences between the arrays of a dataset of photos and those that this version writes."""
    version = inventory.attributes["schema_version"]
    if not DatasetStore.reads(version):
        yield f"has schema version {version}, this fakeflow knows version {DatasetStore.version}"
        return
    layout = DatasetStore.read_layout(inventory.attributes["layout"])
    for name, spec in DatasetStore.specs(layout).items():
        stored = inventory.arrays[name]
        wanted = (list(spec.shape), list(spec.dimensions))
        found = (stored["shape"], stored["dimension_names"])
        attributes = json.loads(json.dumps(dict(spec.attributes)))
        has_attributes = stored["attributes"] in (attributes, without_convention(attributes))
        has_type = spec.dtype == "string" or stored["data_type"] == spec.dtype
        if found != wanted or not (has_attributes and has_type) or inventory.shard_count != layout.shard_count:
            yield f"gives the array {name} another shape, type, shard or attributes than the schema"


def _says(content: bytes, wanted: dict[str, Any]) -> bool:
    try:
        return bool(json.loads(content) == wanted)
    except MALFORMED:
        return False


def _may_be_of_group(key: str) -> bool:
    """Return whether a file may belong to its group, judged by its name alone, without the metadata."""
    parts = key.split("/")
    is_array = len(parts) > 1 and (parts[1:] == [ROOT_METADATA] or bool(_shard_of(key)))
    return is_array or parts[0] == PRIVATE_FOLDER


def _shard_of(key: str) -> str:
    """Return the shard number of an object `<array>/c/<shard>/...`; empty for other files."""
    parts = key.split("/")
    return parts[2] if len(parts) > 2 and parts[1] == "c" and not key.endswith(PARTIAL) else ""


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
