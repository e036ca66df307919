"""The files of a group of a dataset, as its metadata list them, compared with the schema.

A checksum proves that a file is unchanged, not that its author meant well. Therefore no key that a file of a dataset
names is used before it has been compared here with the keys of the schema.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from shlex import quote
from typing import Any

from pipeline.dataset.array_spec import ArraySpec
from pipeline.dataset.keys import OURS, ROOT_METADATA, shard_key
from pipeline.dataset.sealed import is_intact
from pipeline.errors import PipelineError
from pipeline.files.storage import Storage, is_plain_key

SpecsOf = Callable[[Mapping[str, Any]], Mapping[str, ArraySpec]]
"""Returns name -> specification of every array for a stored layout."""

MALFORMED = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""Errors that reading unexpected JSON raises."""
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_]+")
_LISTED = 3


class DamagedFileError(PipelineError):
    """A file of a dataset contradicts its checksum or the schema. The text is written to follow the key of the file."""


@dataclass(frozen=True)
class Inventory:
    """The content of a group's root metadata.

    Attributes:
        attributes: the group attribute `fakeflow`.
        arrays: name -> metadata of every array.
        shard_count: number of shards that a complete dataset has.
    """

    attributes: dict[str, Any]
    arrays: dict[str, dict[str, Any]]
    shard_count: int

    @property
    def metadata(self) -> dict[str, str]:
        """Key -> sha256 of the metadata of every array."""
        checksums: dict[str, str] = self.attributes["metadata"]
        return checksums

    def object_keys(self, shard: int) -> set[str]:
        """Return the keys of all objects of a shard: one for each array."""
        return {shard_key(name, len(array["shape"]), shard) for name, array in self.arrays.items()}


def read_inventory(content: bytes, specs_of: SpecsOf | None) -> Inventory:
    """Read the root's metadata.

    Args:
        content: bytes of the root's `zarr.json`.
        specs_of: the schema; None if the kind of dataset is unknown here: the metadata then say which arrays exist.

    Raises:
        DamagedFileError: the file is damaged, or names other files than the schema.
    """
    refuse_damaged(content)
    try:
        root = json.loads(content)
        attributes: dict[str, Any] = root["attributes"][OURS]
        members: dict[str, dict[str, Any]] = dict(root.get("consolidated_metadata", {}).get("metadata", {}))
        specs = specs_of(attributes["layout"]) if specs_of else {}
        # A group of other groups has no array of its own: it lists those groups, which their own metadata describe.
        has_arrays = bool(specs) or any(_is_own_array(name, one) for name, one in members.items())
        arrays = members if has_arrays else {}
        refuse_other_keys(members, filter(is_plain_key, members), "member")
        if specs_of:
            refuse_other_keys(arrays, specs, "array")
        else:
            refuse_other_keys(arrays, filter(_PLAIN_NAME.fullmatch, arrays), "array")
        refuse_other_keys(attributes["metadata"], [f"{name}/{ROOT_METADATA}" for name in arrays], "file of metadata")
        for name, spec in specs.items():
            if len(arrays[name]["shape"]) != len(spec.shape):
                raise DamagedFileError(f"gives the array {name} another number of axes than the schema")
        return Inventory(attributes, arrays, max((_shard_count(array) for array in arrays.values()), default=0))
    except MALFORMED as error:
        raise DamagedFileError("is not what the metadata of a dataset are") from error


def refuse_damaged(content: bytes) -> None:
    """Raise if a file differs from its own checksum.

    Raises:
        DamagedFileError: the file differs.
    """
    if not is_intact(content):
        raise DamagedFileError("differs from its own checksum")


def refuse_other_keys(found: Iterable[str], wanted: Iterable[str], what: str) -> None:
    """Raise if a file names other keys than the schema.

    Args:
        found: keys in the file.
        wanted: keys of the schema.
        what: word for one of them in the message.

    Raises:
        DamagedFileError: keys are missing or surplus.
    """
    named, expected = set(found), set(wanted)
    if surplus := named - expected:
        raise DamagedFileError(f"names {_some(surplus)}, which the schema does not have as {what}")
    if missing := expected - named:
        raise DamagedFileError(f"does not name {_some(missing)}, which the schema has as {what}")


def our_attributes(root_metadata: bytes, storage: Storage) -> dict[str, Any] | None:
    """Return the attribute `fakeflow` of the root's metadata; None if this project did not write them.

    Raises:
        PipelineError: the metadata is damaged.
    """
    try:
        ours = json.loads(root_metadata).get("attributes", {}).get(OURS)
    except MALFORMED:
        raise root_is_damaged(storage, "is no JSON object") from None
    return ours if isinstance(ours, dict) else None


def root_is_damaged(storage: Storage, how: str) -> PipelineError:
    """Return the error of a dataset whose root metadata are damaged.

    Args:
        storage: place of the dataset.
        how: what is wrong, to follow the name of the file.
    """
    return PipelineError(
        f"{storage.name}: {ROOT_METADATA} {how}; it is damaged, or another tool changed it. {how_to_mend(storage)}"
    )


def how_to_mend(storage: Storage) -> str:
    """Return the sentence that tells what to do with a damaged dataset."""
    return f"Run `pipeline verify --repair {quote(storage.name)}`, then the command that made it."


def _is_own_array(name: str, member: Mapping[str, Any]) -> bool:
    return "/" not in name and member["node_type"] == "array"


def _shard_count(array: Mapping[str, Any]) -> int:
    rows, in_shard = array["shape"][0], array["chunk_grid"]["configuration"]["chunk_shape"][0]
    if not (isinstance(rows, int) and isinstance(in_shard, int) and in_shard > 0):
        raise ValueError
    return -(-rows // in_shard)


def _some(keys: set[str]) -> str:
    listed = sorted(map(repr, keys))
    return ", ".join(listed[:_LISTED]) + (f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else "")
