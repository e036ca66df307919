"""The command to run after a training, ready to be copied into a shell."""

from __future__ import annotations

import shlex

from segmentation.data.source_names import VideoSource
from segmentation.errors import SegmentationError
from segmentation.flow.frame_flows import open_flows
from segmentation.scoring.protocols import protocol_for
from segmentation.training.settings import TrainingSettings
from segmentation.videos.datasets import open_dataset


def next_command(settings: TrainingSettings) -> str:
    """Return a command that tries the network: `evaluate` if a benchmark is at hand, else `predict`."""
    run = settings.output
    for text in settings.videos:
        if benchmark := _benchmark(VideoSource.parse(text)):
            folder = f"{run}/results"
            return shlex.join(
                ["segmentation", "evaluate", "--checkpoint", run, "--dataset", benchmark, "--output", folder]
            )
    return shlex.join(["segmentation", "predict", "--checkpoint", run, "--output", f"{run}/masks"]) + " VIDEO"


def _benchmark(source: VideoSource) -> str:
    """Return the value of `--dataset` for `evaluate`, with the flow if it is complete; empty if there is no score."""
    try:
        protocol_for(source.dataset)
        dataset = open_dataset(source.dataset, source.root)
    except SegmentationError:
        return ""
    annotated = [video for video in dataset.videos if video.annotated]
    if not annotated or dataset.problems:
        return ""
    name = f"{source.dataset}={source.root}"
    try:
        flows = open_flows(source.flows, dataset)
        for video in annotated:
            flows.check(video)
    except SegmentationError:
        return name
    return f"{name}:{source.flows}"
