"""Writing of one shard: encode its arrays, store them, read them back, and commit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from numpy.typing import NDArray

from pipeline.dataset.commits import Failure
from pipeline.dataset.keys import shard_key
from pipeline.dataset.metadata import encode_small_shard
from pipeline.dataset.sharded_store import AnyLayout, ShardedStore
from pipeline.dataset.shards import Map, encode_shard
from pipeline.errors import PipelineError
from pipeline.files.storage import Storage
from pipeline.photos.originals import Record


def write_shard(
    store: ShardedStore[AnyLayout],
    shard: int,
    arrays: Mapping[str, NDArray[Any]],
    failures: list[Failure],
    precision: str,
    parallel: Map = map,
    originals: Sequence[Record] = (),
) -> None:
    """Write one shard whole, read it back, compare, and commit it.

    Args:
        store: the dataset; the caller holds its lock.
        shard: number of the shard.
        arrays: name -> values of every array of the schema; the first axis holds the rows of this shard.
        failures: the rows that could not be used.
        precision: the arithmetic that the network ran in, kept in the commit record.
        parallel: `map`, or the `map` of an executor, that encodes the samples.
        originals: for each row, the files that it was made from, as in the commit record.

    Raises:
        PipelineError: no room, no permission, or the store returned other values than were written.
    """
    store.refuse_lost_root()
    specs, samples_per_shard = store.specs(store.layout), store.layout.samples_per_shard
    store.commits.drop(shard)
    with ThreadPoolExecutor(1) as disk:  # one array is stored while the next is encoded
        stored = {}
        for name, values in arrays.items():
            if specs[name].has_sample_chunks:
                content = encode_shard(values, samples_per_shard, parallel)
            else:
                content = encode_small_shard(specs[name], samples_per_shard, values)
            key = shard_key(name, values.ndim, shard)
            stored[key] = disk.submit(_write_object, store.storage, key, content)
        checksums = {key: checksum.result() for key, checksum in stored.items()}
    store.commits.write(shard, checksums, failures, store.attributes.get("fingerprint"), precision, originals)


def _write_object(storage: Storage, key: str, content: bytes) -> str:
    """Write an object, read it back, and return its sha256."""
    storage.write(key, content)
    if storage.read(key) != content:
        raise PipelineError(
            f"{storage.name}: {key} reads back other bytes than were written. Check the disk or the object store."
        )
    return hashlib.sha256(content).hexdigest()
