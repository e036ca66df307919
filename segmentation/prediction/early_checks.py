"""What can be seen of a command's values before anything is listed, loaded or downloaded; nothing heavy is imported."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from segmentation.data.source_names import Benchmark, PhotoSource, VideoSource
from segmentation.errors import SegmentationError
from segmentation.flow.raft_names import check_raft
from segmentation.flow.settings import FlowCommandSettings
from segmentation.network.encoder_names import check_initialization
from segmentation.network.network_files import find_network
from segmentation.scoring.protocols import protocol_for
from segmentation.training.settings import TrainingSettings
from segmentation.videos.datasets import check_root
from segmentation.videos.table import check_split


def check_flows(settings: FlowCommandSettings) -> None:
    """Raise if `segmentation flows` is given a video, a dataset, a folder or weights that do not exist."""
    if settings.video is not None:
        check_input(settings.video)
    elif settings.dataset is not None and settings.root is not None:
        check_root(check_split(settings.dataset, settings.split), settings.root)
    check_raft(settings.raft)


def check_training(settings: TrainingSettings) -> None:
    """Raise if what `segmentation train` is to read is not there."""
    check_initialization(settings.encoder, settings.initialization)
    for text in settings.data:
        url = PhotoSource.parse(text).url
        if not _may_exist(url):
            raise SegmentationError(
                f"{url} does not exist; expected a dataset, such as `pipeline run --input PHOTOS --output "
                f"{shlex.quote(url)}` makes"
            )
    for text in settings.videos:
        source = VideoSource.parse(text)
        check_root(check_split(source.dataset, None), source.root)
        _check_given_flow(source.dataset, source.root, source.flows)


def check_evaluation(benchmarks: Sequence[Benchmark], checkpoint: Path, raft: str) -> None:
    """Raise if what `segmentation evaluate` is to read is not there."""
    for benchmark in benchmarks:
        protocol_for(benchmark.name)
        check_root(check_split(benchmark.name, None), benchmark.root)
        if benchmark.flows is None:
            check_raft(raft)
        else:
            _check_given_flow(benchmark.name, benchmark.root, benchmark.flows)
    find_network(checkpoint)


def check_prediction(inputs: Sequence[Path], checkpoint: Path, raft: str) -> None:
    """Raise if what `segmentation predict` is to read is not there."""
    for path in inputs:
        check_input(path)
    check_raft(raft)
    find_network(checkpoint)


def check_input(path: Path) -> None:
    """Raise if a user's own video or photo is not there."""
    if not path.exists():
        raise SegmentationError(f"{path} does not exist; expected a video file, a folder of frames or a photo")


def _check_given_flow(dataset: str, root: Path, flows: str) -> None:
    if not _may_exist(flows):
        raise SegmentationError(
            f"the flow {flows} does not exist; expected what `segmentation flows --dataset {dataset} --root "
            f"{shlex.quote(str(root))} --output {shlex.quote(flows)}` makes, or the root of a JPEGFlows tree"
        )


def _may_exist(url: str) -> bool:
    return "://" in url or Path(url).exists()
