"""Marks of samples: a few bytes that tell which samples of two datasets differ, and how far.

A mark is a checksum of values, not of files, so it is the same however the values were compressed. Two different
samples have the same mark with a probability of 2^-32. Marks show where datasets differ; the proof that they are equal
is the SHA-256 of their shards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from pipeline.dataset import schema
from pipeline.dataset.store import DatasetStore

SOURCE_ARRAYS = ("image", "mask", "labels", "opacity", "size", "status")
"""Arrays that come from photo and mask alone; the others depend on the depth network, too."""


class Marks(NamedTuple):
    """The marks of some samples, as in `PhotoColumns`."""

    source_mark: NDArray[np.uint8]
    made_mark: NDArray[np.uint8]
    depth: NDArray[np.uint8]
    flow: NDArray[np.uint8]


def shard_digest(checksums: Mapping[str, str]) -> bytes:
    """Return the SHA-256 of the files of a shard.

    Args:
        checksums: key -> sha256 (hex) of the shard's files.
    """
    lines = "".join(f"{key} {sha256}\n" for key, sha256 in sorted(checksums.items()))
    return hashlib.sha256(lines.encode()).digest()


def marks_of_shard(store: DatasetStore, shard: int) -> Marks:
    """Read a shard and return the marks of its samples.

    Raises:
        PipelineError: the shard is damaged.
    """
    rows = store.layout.rows(shard)
    arrays = {name: store.read(name, slice(rows.start, rows.stop)) for name in store.specs(store.layout)}
    source = [name for name in arrays if name in SOURCE_ARRAYS]
    made = [name for name in arrays if name not in (*SOURCE_ARRAYS, "id")]
    return Marks(
        _checksums(arrays, source, len(rows)),
        _checksums(arrays, made, len(rows)),
        np.stack(list(map(_mean_depths, arrays["inverse_depth"], arrays["size"]))),
        np.stack(list(map(_mean_flow, arrays["flow"], arrays["size"]))),
    )


def _checksums(arrays: Mapping[str, NDArray[Any]], names: Iterable[str], rows: int) -> NDArray[np.uint8]:
    found = np.zeros(rows, ">u4")
    for name in sorted(names):
        for place, values in enumerate(arrays[name]):
            found[place] = google_crc32c.extend(int(found[place]), np.ascontiguousarray(values).tobytes())
    return found.view(np.uint8).reshape(rows, 4)


def _mean_depths(steps: NDArray[np.uint16], size: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Return the mean inverse depth of the quarters of one picture in steps of 1/255; 0 where there is no picture."""
    height, width = map(int, size)
    if min(height, width) < 2:
        return np.zeros(4, np.uint8)
    parts = [slice(height // 2), slice(height // 2, height)], [slice(width // 2), slice(width // 2, width)]
    means = [steps[rows, columns].mean() for rows in parts[0] for columns in parts[1]]
    return np.rint(np.array(means) * (255 / schema.INVERSE_DEPTH_STEPS)).astype(np.uint8)


def _mean_flow(steps: NDArray[np.int16], size: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Return mean u and v of one sample over all of its flow fields, in px; 0 where nothing is known."""
    height, width = map(int, size)
    vectors = steps[:, :height, :width].reshape(-1, 2)
    known = vectors[(vectors != schema.UNKNOWN_FLOW).all(-1)]
    mean = known.mean(0) / schema.FLOW_STEPS_PER_PIXEL if len(known) else np.zeros(2)
    return mean.astype("<f2").view(np.uint8)
