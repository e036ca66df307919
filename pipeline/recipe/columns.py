"""Columns of a recipe: one value for each photo or shard, as text that stands in a JSON file.

Bytes are written in Base85 (RFC 1924), whose characters need no escape in JSON; texts are compressed by zlib before.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

DIGEST_BYTES = 20
"""Bytes of the SHA-256 of a photo or mask that are kept: 160 bits, so finding another file takes 2^160 trials."""
SHARD_BYTES = 32
"""Bytes of a shard's checksum, a whole SHA-256."""
NO_FILE = bytes(DIGEST_BYTES)
"""Digest in place of a file that does not exist, or that nothing was made of."""
QUARTERS = 4
WIDTHS = {"photo": DIGEST_BYTES, "mask": DIGEST_BYTES, "source_mark": 4, "made_mark": 4, "depth": QUARTERS, "flow": 4}
"""Bytes per photo of each column."""
LONGEST_ID = 1024
"""Number of bytes per photo that ids may take when they are unpacked."""


@dataclass(frozen=True, eq=False)
class PhotoColumns:
    """What a recipe says about each of n photos.

    Attributes:
        photo: (n, 20) uint8, the first bytes of the SHA-256 of the photo's file; `NO_FILE` if the photo failed.
        mask: (n, 20) uint8, the same of its mask; `NO_FILE` if it has none.
        source_mark: (n, 4) uint8, CRC-32C of the stored values that come from photo and mask alone.
        made_mark: (n, 4) uint8, CRC-32C of the other stored values: depth, motion, flow and frames.
        depth: (n, 4) uint8, mean inverse depth of each quarter of the picture in steps of 1/255.
        flow: (n, 4) uint8, mean u and v in px over all flow fields, two float16.
    """

    photo: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    source_mark: NDArray[np.uint8]
    made_mark: NDArray[np.uint8]
    depth: NDArray[np.uint8]
    flow: NDArray[np.uint8]

    def to_texts(self) -> dict[str, str]:
        """Return every column as text."""
        return {name: pack(getattr(self, name).tobytes()) for name in WIDTHS}

    @classmethod
    def from_texts(cls, texts: Mapping[str, Any], photos: int) -> PhotoColumns:
        """Read columns from the result of `to_texts`.

        Raises:
            ValueError: a column is missing, or has another length than the photos need.
        """
        return cls(**{name: table(name, texts[name], photos, width) for name, width in WIDTHS.items()})


def pack(content: bytes) -> str:
    """Return bytes as text."""
    return base64.b85encode(content).decode("ascii")


def table(name: str, text: object, rows: int, width: int) -> NDArray[np.uint8]:
    """Return bytes that `pack` wrote as an array, (rows, width); `name` is that of the field, for messages.

    Raises:
        ValueError: the text has another length, or characters that `pack` does not write.
    """
    content = _unpack(name, text)
    if len(content) != rows * width:
        raise ValueError(f"{name} holds {len(content)} bytes; expected {rows * width}, {width} for each of {rows}")
    return np.frombuffer(content, np.uint8).reshape(rows, width)


def pack_text(text: str) -> str:
    """Return a text compressed."""
    return pack(zlib.compress(text.encode(), 9))


def unpack_text(name: str, packed: object, most_bytes: int) -> str:
    """Return the text that `pack_text` compressed.

    Args:
        name: name of the field, for messages.
        packed: the result of `pack_text`.
        most_bytes: largest number of bytes of the text, so that a hostile file cannot fill the memory.

    Raises:
        ValueError: the text is damaged or longer.
    """
    inflate = zlib.decompressobj()
    try:
        content = inflate.decompress(_unpack(name, packed), most_bytes + 1)
        if len(content) > most_bytes or not inflate.eof:
            raise ValueError(f"{name} is cut, or longer than {most_bytes} bytes; expected a compressed text")
        return content.decode()
    except (zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"{name} cannot be decompressed ({error}); expected a compressed text") from None


def _unpack(name: str, text: object) -> bytes:
    """Return bytes that `pack` wrote."""
    try:
        return base64.b85decode(str(text))
    except ValueError as error:
        raise ValueError(f"{name} is no Base85 ({error}); expected bytes as `pipeline recipe` writes them") from None
