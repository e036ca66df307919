"""Named sizes of the two-stream network: an encoder with the width of the decoder behind it."""

from __future__ import annotations

from dataclasses import dataclass

PUBLISHED_WIDTH = 256


@dataclass(frozen=True)
class NetworkSize:
    """Properties in which networks of different size differ.

    Attributes:
        encoder: name of the encoder of both streams.
        decoder_width: number of channels in the decoder.
    """

    encoder: str
    decoder_width: int


SIZES = {"published": NetworkSize("mit-b1", PUBLISHED_WIDTH), "small": NetworkSize("lite0", 64)}
