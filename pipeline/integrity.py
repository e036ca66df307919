"""Is a stored object what the encoder made? Checked by the CRC-32C of its chunks, without decoding them."""

from __future__ import annotations

import google_crc32c
import numpy as np

ABSENT = np.uint64(2**64 - 1)


def is_object_intact(content: bytes, chunks: int | None) -> bool:
    """Check one stored object of an array whose last codec is `crc32c`.

    Args:
        content: the object.
        chunks: number of chunks of a shard (Zarr codec `sharding_indexed`, index at the end); None = a plain chunk.
    """
    if chunks is None:
        return _ends_with_its_checksum(content)
    # the index: one (offset, length) of two little-endian uint64 per chunk, all ones for an absent one, then a checksum
    index_bytes = content[-(16 * chunks + 4) :]
    if len(index_bytes) != 16 * chunks + 4 or not _ends_with_its_checksum(index_bytes):
        return False
    index = np.frombuffer(index_bytes[:-4], "<u8").reshape(chunks, 2)
    present = index[(index != ABSENT).all(1)].tolist()
    return all(_ends_with_its_checksum(content[offset : offset + length]) for offset, length in present)


def _ends_with_its_checksum(content: bytes) -> bool:
    """Compare the last four bytes with the CRC-32C of the others."""
    return len(content) >= 4 and google_crc32c.value(content[:-4]) == int.from_bytes(content[-4:], "little")
