"""The shard format: many chunks in one object, encoded here because Zarr's own way costs more time than compressing.

A shard is what the Zarr codec `sharding_indexed` defines: the encoded chunks one after the other, then the index, one
(offset, length) of two little-endian uint64 for each chunk of the shard, all ones for an absent one, then the CRC-32C
of the index. A chunk is one sample in little-endian bytes, Blosc (zstd level 1 after a bit shuffle), then the CRC-32C
of that. Any Zarr reader decodes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import google_crc32c
import numpy as np
from numcodecs.blosc import BITSHUFFLE, Blosc
from numpy.typing import NDArray
from zarr.abc.codec import BytesBytesCodec
from zarr.codecs import BloscCodec, Crc32cCodec

LEVEL = 1


def chunk_codecs(dtype: np.dtype[Any]) -> list[BytesBytesCodec]:
    """Return the codecs of a chunk as an array's metadata names them."""
    return [BloscCodec(cname="zstd", clevel=LEVEL, shuffle="bitshuffle", typesize=dtype.itemsize), Crc32cCodec()]


Map = Callable[..., Iterable[Any]]
"""`map` or the `map` of an executor."""


def encode_shard(samples: NDArray[Any], chunks: int, parallel: Map = map) -> bytes:
    """Encode the samples of one shard.

    Args:
        samples: (rows, ...), one chunk each; little-endian, of a fixed-size type.
        chunks: number of chunks of a full shard; those beyond `rows` are absent.
        parallel: applied to encode the samples; order and bytes stay the same.
    """
    blosc = Blosc(cname="zstd", clevel=LEVEL, shuffle=BITSHUFFLE, typesize=samples.dtype.itemsize)
    index = np.full((chunks, 2), 2**64 - 1, "<u8")
    parts, offset = [], 0
    for row, compressed in enumerate(parallel(blosc.encode, samples)):
        parts += [compressed, _checksum(compressed)]
        length = len(compressed) + 4
        index[row] = offset, length
        offset += length
    index_bytes = index.tobytes()
    return b"".join([*parts, index_bytes, _checksum(index_bytes)])


def _checksum(content: bytes) -> bytes:
    checksum: int = google_crc32c.value(content)
    return checksum.to_bytes(4, "little")
