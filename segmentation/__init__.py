"""Two-stream segmentation: video datasets, the network and its checkpoints, data for training, measures and protocols.

`train`, `evaluate` and `predict` each take one settings object and print nothing; pass a `Progress` of `pipeline` to be
told how far they are. Names are loaded at their first use: importing this package loads neither torch nor anything else
that is heavy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segmentation.data.mixture import Mixture
    from segmentation.data.photo_samples import ShardDataset, Triplet
    from segmentation.data.transforms import Augmentation, Batch, make_batch
    from segmentation.data.video_samples import VideoFrames
    from segmentation.errors import SegmentationError
    from segmentation.network.checkpoint import load_network, save_network
    from segmentation.network.hub import HubNetwork
    from segmentation.network.model import TwoStreamNetwork
    from segmentation.prediction.run import evaluate, predict
    from segmentation.prediction.settings import EvaluationSettings, PredictionSettings
    from segmentation.training.run import train
    from segmentation.training.settings import TrainingSettings

    __version__: str

__all__ = [
    "Augmentation",
    "Batch",
    "EvaluationSettings",
    "HubNetwork",
    "Mixture",
    "PredictionSettings",
    "SegmentationError",
    "ShardDataset",
    "TrainingSettings",
    "Triplet",
    "TwoStreamNetwork",
    "VideoFrames",
    "__version__",
    "evaluate",
    "load_network",
    "make_batch",
    "predict",
    "save_network",
    "train",
]

_MODULES = {
    "Augmentation": "data.transforms",
    "Batch": "data.transforms",
    "EvaluationSettings": "prediction.settings",
    "HubNetwork": "network.hub",
    "Mixture": "data.mixture",
    "PredictionSettings": "prediction.settings",
    "SegmentationError": "errors",
    "ShardDataset": "data.photo_samples",
    "TrainingSettings": "training.settings",
    "Triplet": "data.photo_samples",
    "TwoStreamNetwork": "network.model",
    "VideoFrames": "data.video_samples",
    "evaluate": "prediction.run",
    "load_network": "network.checkpoint",
    "make_batch": "data.transforms",
    "predict": "prediction.run",
    "save_network": "network.checkpoint",
    "train": "training.run",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("fakeflow")
    if name not in _MODULES:
        raise AttributeError(f"module 'segmentation' has no attribute {name!r}")
    return getattr(importlib.import_module(f"segmentation.{_MODULES[name]}"), name)
