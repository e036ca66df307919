"""Defects of a dataset, and the result of checking it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Finding:
    """One defect of a dataset.

    Attributes:
        key: key of the defective file; empty if the defect concerns several files.
        problem: what was found and what was expected.
        shard: number of the shard that must be made again; None if making a shard again is no repair.
        ids: ids of the samples concerned, if they are known.
        is_surplus: True if the only defect is that the file does not belong to the dataset.
    """

    key: str
    problem: str
    shard: int | None = None
    ids: tuple[str, ...] = ()
    is_surplus: bool = False


@dataclass
class Verification:
    """What `verify` found.

    Attributes:
        findings: what is wrong.
        files: key -> sha256 of every file that is part of the dataset; each shard's objects come before its record,
            the root's metadata last.
        objects: that were compared with their checksum.
        shard_count: number of shards of a complete dataset.
        missing_shard_count: number of shards that are not made yet.
        rows_compared: samples whose values were looked at, not only their checksums.
        notes: what was not checked.
    """

    findings: list[Finding] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    objects: int = 0
    shard_count: int = 0
    missing_shard_count: int = 0
    rows_compared: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """True if the dataset has no defects and no shard is missing."""
        return not self.findings and not self.missing_shard_count
