"""Two-stream segmentation: video datasets, the network and its checkpoints, data for training, measures and protocols.

Names are loaded at their first use: importing this package loads neither torch nor anything else that is heavy.
"""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from segmentation.errors import SegmentationError

if TYPE_CHECKING:
    from segmentation.data.mixture import Mixture
    from segmentation.data.photo_samples import ShardDataset, Triplet
    from segmentation.data.transforms import Augmentation, Batch, make_batch
    from segmentation.data.video_samples import VideoFrames
    from segmentation.network.checkpoint import load_network, save_network
    from segmentation.network.model import TwoStreamNetwork

    __version__: str

__all__ = [
    "Augmentation",
    "Batch",
    "Mixture",
    "SegmentationError",
    "ShardDataset",
    "Triplet",
    "TwoStreamNetwork",
    "VideoFrames",
    "__version__",
    "load_network",
    "make_batch",
    "save_network",
]

_MODULES = {
    "Augmentation": "data.transforms",
    "Batch": "data.transforms",
    "Mixture": "data.mixture",
    "ShardDataset": "data.photo_samples",
    "Triplet": "data.photo_samples",
    "TwoStreamNetwork": "network.model",
    "VideoFrames": "data.video_samples",
    "load_network": "network.checkpoint",
    "make_batch": "data.transforms",
    "save_network": "network.checkpoint",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("fakeflow")
    if name not in _MODULES:
        raise AttributeError(f"module 'segmentation' has no attribute {name!r}")
    return getattr(importlib.import_module(f"segmentation.{_MODULES[name]}"), name)
