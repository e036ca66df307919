"""Commit records, `.fakeflow/commits/<shard>.json`: a shard exists if it has one.

A record is written last, atomically, after the arrays of the shard have been read back and compared. It holds the
checksum of every object of the shard, the checksums of the photos and masks that the shard was made from, the photos
that could not be used, and its own checksum.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from itertools import islice
from typing import Any

from pipeline.dataset.inventory import (
    MALFORMED,
    DamagedFileError,
    Inventory,
    how_to_mend,
    refuse_damaged,
    refuse_other_keys,
)
from pipeline.dataset.sealed import sealed_json
from pipeline.errors import PipelineError
from pipeline.files.storage import Storage
from pipeline.redaction import redact

PRIVATE_FOLDER = ".fakeflow"
COMMITS = f"{PRIVATE_FOLDER}/commits"
COMMITS_NOTE = f"{COMMITS}/README"
COMMITS_NOTE_TEXT = b"A shard without a record here does not exist.\n"
READERS = 16
"""Number of records that are read at the same time."""
_READ_AHEAD = 256


@dataclass(frozen=True)
class Failure:
    """A photo that could not be used: its row, id, a short machine-readable reason and a sentence."""

    row: int
    id: str
    reason: str
    message: str


_TYPES_OF_A_FAILURE = {field.name: int if field.name == "row" else str for field in fields(Failure)}


class CommitRecords:
    """The commit records of one dataset.

    Args:
        storage: place of the dataset.
        inventory: called for the content of the root's metadata, with which records are compared.
    """

    def __init__(self, storage: Storage, inventory: Callable[[], Inventory]) -> None:
        self.storage = storage
        self._inventory = inventory

    def shard_numbers(self) -> set[int]:
        """Return the numbers of the shards that have a record, even if the dataset has fewer shards."""
        found = (shard_of_record(name) for name in self.storage.names(COMMITS))
        return {shard for shard in found if shard is not None}

    def read(self, shard: int) -> dict[str, Any]:
        """Return the record of a shard.

        Raises:
            PipelineError: the record is damaged or belongs to another dataset.
            FileNotFoundError: there is no record.
        """
        content = self.storage.read(commit_key(shard))
        try:
            return read_record(content, shard, self._inventory())
        except DamagedFileError as damage:
            raise PipelineError(
                f"{self.storage.name}: {commit_key(shard)} {damage}. {how_to_mend(self.storage)}"
            ) from None

    def read_all(self, shards: Iterable[int]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the number and the record of several shards, in order; several are read at the same time.

        One after the other, the records of a million photos in a bucket would take minutes.

        Raises:
            PipelineError, FileNotFoundError: as in `read`.
        """
        left = iter(shards)
        with ThreadPoolExecutor(READERS, thread_name_prefix="commits") as pool:
            while some := list(islice(left, _READ_AHEAD)):
                yield from zip(some, pool.map(self.read, some), strict=True)

    def write(
        self,
        shard: int,
        checksums: Mapping[str, str],
        failures: Sequence[Failure],
        fingerprint: str | None,
        precision: str,
        originals: Sequence[Mapping[str, Mapping[str, str]]] = (),
    ) -> None:
        """Write the record of a shard, with which the shard exists.

        Args:
            shard: number of the shard.
            checksums: key -> sha256 of the objects of the shard.
            failures: rows of the shard that could not be used.
            fingerprint: fingerprint of the dataset's settings.
            precision: the arithmetic that the network ran in.
            originals: for each row, the files it was made from: role -> `sha256` of the bytes, and `stamp`; empty for
                rows that could not be used.

        Raises:
            PipelineError: no room or no permission.
        """
        record: dict[str, Any] = {
            "shard": shard,
            "fingerprint": fingerprint,
            "precision": precision,
            "objects": dict(checksums),
            "failures": [{**asdict(failure), "message": redact(failure.message)} for failure in failures],
        }
        if originals:
            record["originals"] = [dict(each) for each in originals]
        self.storage.write(commit_key(shard), sealed_json(record))

    def drop(self, shard: int) -> None:
        """Remove the record of a shard, so that the same command makes the shard again."""
        self.storage.delete(commit_key(shard))

    def drop_foreign(self) -> None:
        """Remove records of another dataset, which stay where the root's metadata were lost."""
        for shard in self.shard_numbers():
            try:
                self.read(shard)
            except PipelineError:
                self.drop(shard)


def read_record(content: bytes, shard: int, inventory: Inventory) -> dict[str, Any]:
    """Read a commit record.

    Args:
        content: bytes of the file.
        shard: number of the shard that the record has to belong to.
        inventory: content of the root's metadata.

    Raises:
        DamagedFileError: the record is damaged, or belongs to another shard or dataset.
    """
    refuse_damaged(content)
    try:
        record: dict[str, Any] = json.loads(content)
        if record["shard"] != shard:
            raise DamagedFileError(f"is that of shard {record['shard']!r}")
        ours = (inventory.attributes.get("fingerprint"), *inventory.attributes.get("earlier_fingerprints", ()))
        if record["fingerprint"] not in ours:
            raise DamagedFileError("was made with other settings than the dataset's")
        refuse_other_keys(record["objects"].keys(), inventory.object_keys(shard), f"object of shard {shard}")
        for failure in record["failures"]:
            if {name: type(value) for name, value in failure.items()} != _TYPES_OF_A_FAILURE:
                raise DamagedFileError(f"holds a failure with other fields than {', '.join(_TYPES_OF_A_FAILURE)}")
        for original in (original for each in record.get("originals", ()) for original in each.values()):
            if {name: type(value) for name, value in original.items()} != {"sha256": str, "stamp": str}:
                raise DamagedFileError("names a file that a sample was made of with other fields than sha256, stamp")
    except MALFORMED as error:
        raise DamagedFileError("is not what a commit record is") from error
    return record


def commit_key(shard: int) -> str:
    """Return the key of a shard's commit record."""
    return f"{COMMITS}/{shard:06d}.json"


def shard_of_record(name: str) -> int | None:
    """Return the number of the shard to which a file in the folder of commit records belongs; None for other files."""
    number = name.removesuffix(".json")
    return int(number) if number.isdecimal() and commit_key(int(number)) == f"{COMMITS}/{name}" else None
