"""The shard format: many chunks in one object.

A shard is defined by the Zarr codec `sharding_indexed`: the encoded chunks one after the other; then the index, which
holds the offset and length of each chunk as two little-endian uint64, all ones for an absent chunk; then the CRC-32C of
the index. A chunk is one sample in little-endian bytes, compressed by Blosc (zstd level 1 after a bit shuffle), and the
CRC-32C of that. Any Zarr reader decodes it.

This module exists because it is faster than Zarr: `benchmarks/shards.py` compares them, and
`benchmarks/results/shards.json` holds the figures.
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
ABSENT = 2**64 - 1
"""Offset and length in a shard's index of a chunk that is not there."""


def chunk_codecs(dtype: np.dtype[Any]) -> list[BytesBytesCodec]:
    """Return the codecs of a chunk as an array's metadata names them."""
    return [BloscCodec(cname="zstd", clevel=LEVEL, shuffle="bitshuffle", typesize=dtype.itemsize), Crc32cCodec()]


Map = Callable[..., Iterable[Any]]
"""`map` or the `map` of an executor."""


def encode_shard(samples: NDArray[Any], chunks: int, parallel: Map = map) -> bytes:
    """Return the encoded samples of one shard.

    Args:
        samples: (rows, ...), one chunk each; little-endian, of a fixed-size type.
        chunks: number of chunks of a full shard; chunks beyond `rows` are absent.
        parallel: `map`, or the `map` of an executor, that encodes the samples; the bytes do not depend on it.
    """
    blosc = Blosc(cname="zstd", clevel=LEVEL, shuffle=BITSHUFFLE, typesize=samples.dtype.itemsize)
    index = np.full((chunks, 2), ABSENT, "<u8")
    parts, offset = [], 0
    for row, compressed in enumerate(parallel(blosc.encode, samples)):
        parts += [compressed, _checksum(compressed)]
        length = len(compressed) + 4
        index[row] = offset, length
        offset += length
    encoded_index = index.tobytes()
    return b"".join([*parts, encoded_index, _checksum(encoded_index)])


def join_shards(shards: Iterable[bytes], chunks: int, joined_chunks: int) -> bytes:
    """Return one shard with the chunks of several, which are copied as they are.

    Args:
        shards: contents of neighbouring shards, in order.
        chunks: number of chunks of each of them when it is full.
        joined_chunks: number of chunks of the new shard when it is full.

    Raises:
        ValueError: the index of a shard is damaged.
    """
    index = np.full((joined_chunks, 2), ABSENT, "<u8")
    parts, offset = [], 0
    for number, content in enumerate(shards):
        for row, (start, length) in enumerate(decode_index(content[-index_bytes(chunks) :]).tolist(), number * chunks):
            if start != ABSENT:
                parts.append(content[start : start + length])
                index[row] = offset, length
                offset += length
    encoded_index = index.tobytes()
    return b"".join([*parts, encoded_index, _checksum(encoded_index)])


def index_bytes(chunks: int) -> int:
    """Return the size in bytes of the index at the end of a shard.

    Args:
        chunks: number of chunks of a full shard.
    """
    return 16 * chunks + 4


def decode_index(content: bytes) -> NDArray[np.uint64]:
    """Decode a shard's index.

    Args:
        content: the last `index_bytes(chunks)` bytes of the shard.

    Returns:
        (chunks, 2) uint64: offset and length in bytes of each chunk, all ones where it is absent.

    Raises:
        ValueError: the checksum differs.
    """
    if len(content) < 4 or _checksum(content[:-4]) != content[-4:]:
        raise ValueError("the index's checksum does not fit")
    return np.frombuffer(content[:-4], "<u8").reshape(-1, 2)


def decode_chunk(content: bytes, out: NDArray[Any]) -> None:
    """Decode one chunk into a contiguous array of its size.

    Raises:
        ValueError: the checksum or the size differs.
    """
    if len(content) < 4 or _checksum(content[:-4]) != content[-4:]:
        raise ValueError("a chunk's checksum does not fit")
    try:
        Blosc().decode(content[:-4], out)
    except RuntimeError as error:
        raise ValueError(f"a chunk cannot be decoded ({error})") from error


def _checksum(content: bytes) -> bytes:
    checksum: int = google_crc32c.value(content)
    return checksum.to_bytes(4, "little")
