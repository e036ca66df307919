"""Metadata files of a dataset, and small arrays, both encoded in memory by Zarr."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import Store
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.core.buffer import Buffer
from zarr.storage import MemoryStore

from pipeline.dataset.array_spec import ArraySpec
from pipeline.dataset.keys import OURS, ROOT_METADATA
from pipeline.dataset.sealed import FIELD, UNSEALED, seal
from pipeline.dataset.shards import chunk_codecs

_EMPTY_GROUP = {"attributes": {}, "zarr_format": 3, "node_type": "group"}


def metadata_files(
    specs: Mapping[str, ArraySpec], samples_per_shard: int, attributes: Mapping[str, Any]
) -> dict[str, bytes]:
    """Return key -> content of the metadata of a group and its arrays, consolidated and sealed.

    Args:
        specs: name -> specification of the arrays.
        samples_per_shard: number of rows of a shard.
        attributes: attributes of the group, plain values; the checksum of each array's metadata is added to them.
    """
    arrays = _stored(specs, samples_per_shard, {})
    del arrays[ROOT_METADATA]
    checksums = {key: hashlib.sha256(content).hexdigest() for key, content in sorted(arrays.items())}
    ours = {**attributes, "metadata": checksums, FIELD: UNSEALED}
    root = _stored(specs, samples_per_shard, {"Conventions": "CF-1.11", OURS: ours})[ROOT_METADATA]
    return {**arrays, ROOT_METADATA: seal(root)}


def with_groups(root: bytes, groups: Mapping[str, bytes]) -> bytes:
    """Return a root's metadata extended by other groups and their arrays, with a new checksum.

    Args:
        root: the metadata of a group without arrays.
        groups: name -> consolidated metadata of the groups below the root.
    """
    listed: dict[str, Any] = {}
    for name, content in groups.items():
        group = json.loads(content)
        arrays = group.pop("consolidated_metadata")["metadata"]
        group["attributes"][OURS].pop(FIELD)  # the seal of another file
        parents = name.split("/")[:-1]
        listed |= {"/".join(parents[: k + 1]): {**_EMPTY_GROUP} for k in range(len(parents))}
        listed[name] = group
        listed |= {f"{name}/{array}": metadata for array, metadata in arrays.items()}
    whole = json.loads(root)
    whole["attributes"][OURS][FIELD] = UNSEALED
    whole["consolidated_metadata"] = {"kind": "inline", "must_understand": False, "metadata": listed}
    return seal(json.dumps(whole, indent=2).encode())


def encode_small_shard(spec: ArraySpec, samples_per_shard: int, values: NDArray[Any]) -> bytes:
    """Encode the rows of one shard of an array without sample chunks as one chunk; missing rows hold the fill value."""
    content: dict[str, Buffer] = {}
    one_shard = replace(spec, shape=(samples_per_shard, *spec.shape[1:]))
    array = _create_array(MemoryStore(content), "", one_shard, samples_per_shard)
    array[: len(values)] = values
    (chunk,) = (buffer for key, buffer in content.items() if key != ROOT_METADATA)
    return chunk.to_bytes()


def _stored(specs: Mapping[str, ArraySpec], samples_per_shard: int, attributes: dict[str, Any]) -> dict[str, bytes]:
    content: dict[str, Buffer] = {}
    store = MemoryStore(content)
    zarr.create_group(store, attributes=attributes)
    for name, spec in specs.items():
        _create_array(store, name, spec, samples_per_shard)
    if specs:  # a group without arrays lists the groups below it, whose number may grow
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
            zarr.consolidate_metadata(store)
    return {key: buffer.to_bytes() for key, buffer in content.items()}


def _create_array(store: Store, name: str, spec: ArraySpec, samples_per_shard: int) -> zarr.Array[Any]:
    shard = (samples_per_shard, *spec.shape[1:])
    if spec.has_sample_chunks:
        layout: dict[str, Any] = {"chunks": (1, *spec.shape[1:]), "shards": shard}
        layout["compressors"] = chunk_codecs(np.dtype(spec.dtype))
    else:
        layout = {"chunks": shard, "compressors": [ZstdCodec(level=1), Crc32cCodec()]}
    return zarr.create_array(
        store,
        name=name or None,
        shape=spec.shape,
        dtype=spec.dtype,
        fill_value=spec.fill_value,
        attributes=dict(spec.attributes),
        dimension_names=spec.dimensions,
        config={"write_empty_chunks": True},
        **layout,
    )
