"""Checks of a command's values before anything is listed, loaded or downloaded.

No heavy library is imported, except ptlflow for `--flow ptlflow:NAME`.
"""

from __future__ import annotations

from pathlib import Path

from segmentation.data.source_names import Benchmark, PhotoSource
from segmentation.errors import SegmentationError
from segmentation.flow.estimator_names import check_estimator
from segmentation.flow.settings import FlowCommandSettings
from segmentation.network.network_files import find_network
from segmentation.prediction.settings import EvaluationSettings, PredictionSettings
from segmentation.videos.datasets import check_root
from segmentation.videos.table import check_split


def check_flows(settings: FlowCommandSettings) -> None:
    """Raise if `segmentation flows` is given a video, a dataset, a folder or weights that do not exist."""
    if settings.video is not None:
        check_input(settings.video)
    elif settings.pairs is not None:
        PhotoSource(settings.pairs).check()
    elif settings.dataset is not None and settings.root is not None:
        check_root(check_split(settings.dataset, settings.split), settings.root)
    check_estimator(settings.flow, settings.raft)


def check_evaluation(settings: EvaluationSettings) -> None:
    """Raise if a dataset, its flow or the network that `segmentation evaluate` is given does not exist."""
    for benchmark in [Benchmark.parse(text) for text in settings.dataset]:
        benchmark.check()
        if benchmark.flows is None:
            check_estimator(settings.flow, settings.raft)
    find_network(settings.checkpoint)


def check_prediction(settings: PredictionSettings) -> None:
    """Raise if an input or the network that `segmentation predict` is given does not exist."""
    for path in settings.inputs:
        check_input(path)
    check_estimator(settings.flow, settings.raft)
    find_network(settings.checkpoint)


def check_input(path: Path) -> None:
    """Raise if a user's own video or photo does not exist."""
    if not path.exists():
        raise SegmentationError(f"{path} does not exist; expected a video file, a folder of frames or a photo")
