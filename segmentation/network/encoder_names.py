"""Names of encoders as users type them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from segmentation.errors import SegmentationError

TIMM_PREFIX = "timm:"


@dataclass(frozen=True)
class MitVariant:
    """Number of blocks and channels in each of the four stages, which distinguish the Mix Transformers."""

    depths: tuple[int, ...]
    channels: tuple[int, ...]


MIT_VARIANTS = {
    "mit-b0": MitVariant((2, 2, 2, 2), (32, 64, 160, 256)),
    "mit-b1": MitVariant((2, 2, 2, 2), (64, 128, 320, 512)),
    "mit-b2": MitVariant((3, 4, 6, 3), (64, 128, 320, 512)),
}


LITE_VARIANTS = {f"lite{size}": f"tf_efficientnet_lite{size}" for size in range(3)}
"""EfficientNet-Lite encoders, each with timm's name of the network that its weights belong to."""


def check_encoder(name: str) -> None:
    """Raise if an encoder is unknown; names of timm are not checked, because importing timm takes too long."""
    known = (*MIT_VARIANTS, *LITE_VARIANTS)
    if name not in known and not name.startswith(TIMM_PREFIX):
        raise SegmentationError(
            f"Encoder {name!r} is unknown; expected {', '.join(known)} or timm:NAME, such as timm:convnext_tiny."
        )


def is_of_timm(name: str) -> bool:
    """Return whether an encoder's weights are a file of timm's, and not a folder of transformers'."""
    return name in LITE_VARIANTS or name.startswith(TIMM_PREFIX)


def check_initialization(encoder: str, initialization: str) -> None:
    """Raise if an encoder is unknown, or if the weights that it should start from do not exist."""
    check_encoder(encoder)
    if initialization not in ("imagenet", "random") and not Path(initialization).exists():
        raise SegmentationError(
            f"Initialisation {initialization!r} of encoder {encoder} is neither 'imagenet' nor 'random', "
            "and no such file or folder exists."
        )
