"""Which shards of a dataset exist: those with a commit record, `.fakeflow/commits/<shard>.json`.

A record is written last, atomically, after the shard's arrays have been read back and compared. It holds the checksum
of every object of the shard, the checksums of the photos and masks that it was made of, the photos that could not be
used, and its own checksum.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
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


@dataclass(frozen=True)
class Failure:
    """A photo that could not be used: its row, id, a short machine-readable reason and a sentence."""

    row: int
    id: str
    reason: str
    message: str


_TYPES_OF_A_FAILURE = {field.name: int if field.name == "row" else str for field in fields(Failure)}


class CommitRecords:
    """The records of one dataset.

    Args:
        storage: where it lies.
        inventory: gives what the records are compared with.
    """

    def __init__(self, storage: Storage, inventory: Callable[[], Inventory]) -> None:
        self.storage = storage
        self._inventory = inventory

    def shard_numbers(self) -> set[int]:
        """Return the numbers of the shards that have a record, whether the dataset has so many or not."""
        found = (shard_of_record(name) for name in self.storage.names(COMMITS))
        return {shard for shard in found if shard is not None}

    def read(self, shard: int) -> dict[str, Any]:
        """Return what `write` recorded.

        Raises:
            PipelineError: the record is damaged, or not one of this dataset.
            FileNotFoundError: there is none.
        """
        content = self.storage.read(commit_key(shard))
        try:
            return read_record(content, shard, self._inventory())
        except DamagedFileError as damage:
            raise PipelineError(
                f"{self.storage.name}: {commit_key(shard)} {damage}. {how_to_mend(self.storage)}"
            ) from None

    def failures(self, shard: int) -> list[Failure]:
        """Return the rows of a shard that could not be used.

        Raises:
            PipelineError: the record is damaged.
            FileNotFoundError: there is none.
        """
        return [Failure(**failure) for failure in self.read(shard)["failures"]]

    def write(
        self,
        shard: int,
        checksums: Mapping[str, str],
        failures: Sequence[Failure],
        fingerprint: str | None,
        precision: str,
        originals: Sequence[Mapping[str, Mapping[str, str]]] = (),
    ) -> None:
        """Make a shard exist.

        Args:
            shard: its number.
            checksums: key -> sha256 of its objects.
            failures: its rows that could not be used.
            fingerprint: of the dataset's settings.
            precision: the arithmetic that the network ran in.
            originals: for each row, what it was made of: role -> `sha256` of the file's bytes, and `stamp`; empty for
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
        """Make a shard not exist, so that the same run makes it again."""
        self.storage.delete(commit_key(shard))

    def drop_foreign(self) -> None:
        """Drop records that are not of this dataset, where the root's metadata was lost."""
        for shard in self.shard_numbers():
            try:
                self.read(shard)
            except PipelineError:
                self.drop(shard)


def read_record(content: bytes, shard: int, inventory: Inventory) -> dict[str, Any]:
    """Read a commit record.

    Args:
        content: of the file.
        shard: that it must be of.
        inventory: of the dataset.

    Raises:
        DamagedFileError: it is damaged, or of another shard or dataset.
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
    """Return the shard that a file in the folder of commit records is of; None for other files."""
    number = name.removesuffix(".json")
    return int(number) if number.isdecimal() and commit_key(int(number)) == f"{COMMITS}/{name}" else None
