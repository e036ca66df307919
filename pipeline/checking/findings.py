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
    """Result of checking a dataset.

    Attributes:
        findings: the defects.
        files: sha256 of every file of the dataset, by its key; the objects of a shard come before its commit
            record, and the root's metadata come last.
        objects: number of objects that were compared with their checksums.
        shard_count: number of shards of the complete dataset.
        missing_shard_count: number of shards that are not made yet.
        rows_compared: number of samples whose values were compared, not only their checksums.
        notes: sentences about files and values that were not checked.
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
