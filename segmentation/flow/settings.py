"""Settings of `segmentation flows`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.command.settings import check_limits, setting, setting_of
from pipeline.engine.placement import Placement
from pipeline.files.places import refuse_as_output
from pipeline.making.config import RunConfig
from segmentation.errors import SegmentationError
from segmentation.flow.estimator_names import check_name
from segmentation.flow.raft_names import DEFAULT_ITERATIONS, DEFAULT_WEIGHTS, Size

INPUT, OUTPUT, FLOW, PLACE = "Input", "Output", "Optical flow", "Where it runs"
"""Headings of the options on help pages."""


@dataclass(frozen=True, kw_only=True)
class EstimatorSettings:
    """Settings of estimated flow, which every command that estimates flow has as options."""

    flow: str = setting(
        "Estimator of optical flow: raft; dis (OpenCV), which needs no weights and is much faster; or a network "
        "of the package ptlflow, as ptlflow:sea_raft_s, or ptlflow:NAME:WEIGHTS with a name or path of weights.",
        FLOW,
        default="raft",
    )
    raft: str = setting(
        "Weights of RAFT: raft-large, raft-things or raft-small, which are downloaded, or the path of a checkpoint.",
        FLOW,
        default=DEFAULT_WEIGHTS,
    )
    raft_iterations: int = setting(
        "Number of times that RAFT updates the flow of a pair of frames.", FLOW, at_least=1, default=DEFAULT_ITERATIONS
    )

    @property
    def model(self) -> Size | None:
        """Network that the weights of RAFT must belong to; None = either."""
        return None

    @property
    def stride(self) -> int:
        """Distance in frames; the flow of frame k points to frame k + stride."""
        return 1

    @property
    def upscale(self) -> bool:
        """Whether frames that are too small are enlarged instead of refused."""
        return True


@dataclass(frozen=True, kw_only=True)
class FlowCommandSettings(EstimatorSettings):
    """Settings of `segmentation flows`; every field is a command-line option."""

    dataset: str | None = setting(
        "Name of the video dataset in --root: davis16, fbms, ytobj, lvid, ytvos18 or segtrackv2.", INPUT, default=None
    )
    root: Path | None = setting("Folder of the video dataset.", INPUT, default=None)
    split: str | None = setting(
        "Split of the dataset whose videos are used.", INPUT, unset="all that are there", default=None
    )
    sequences: tuple[str, ...] = setting(
        "Names or patterns of the only sequences to use, such as bear,car-*; may be repeated.",
        INPUT,
        unset="all",
        default=(),
    )
    video: Path | None = setting("Video file or folder of frames, in place of a dataset.", INPUT, default=None)
    pairs: str | None = setting(
        "Dataset of `pipeline run --frames 2` or more, in place of videos: flow from each photo to its next frame.",
        INPUT,
        default=None,
    )
    photos: str | None = setting(
        "Folder or URL of the photos of --pairs that were published without images.",
        INPUT,
        unset="not needed otherwise",
        default=None,
    )
    output: str = setting("Zarr group of the flow to make or to continue; a folder or URL.", OUTPUT)
    jpeg: Path | None = setting(
        "Folder in which the flow is also written as a JPEGFlows tree, which the original training code reads.",
        OUTPUT,
        default=None,
    )
    model: Size | None = setting(
        "Network that the weights of RAFT must belong to; others are refused.", FLOW, unset="either", default=None
    )
    stride: int = setting(
        "Distance in frames that the flow spans: the flow of frame k points to frame k + stride.",
        FLOW,
        at_least=1,
        default=1,
    )
    upscale: bool = setting(
        "Enlarge frames that are too small (below 128 pixels, for dis below 32) instead of refusing them.",
        FLOW,
        default=False,
    )
    workers: int | None = setting_of(RunConfig, "workers")
    gpus_per_worker: float | None = setting_of(RunConfig, "gpus_per_worker")
    device: Literal["auto", "cpu", "cuda"] = setting(
        "Device to compute on; auto uses a GPU if there is one.", PLACE, default="auto"
    )

    def __post_init__(self) -> None:
        refuse_as_output(self.output)
        check_limits(self, SegmentationError)
        inputs = [self.dataset is not None, self.video is not None, self.pairs is not None]
        if sum(inputs) != 1 or (self.dataset is None) != (self.root is None):
            raise SegmentationError("give one of --dataset with --root, --video and --pairs")
        if self.pairs is not None and (self.jpeg is not None or self.stride != 1):
            raise SegmentationError("--jpeg and --stride belong to videos; leave them out with --pairs")
        if self.photos is not None and self.pairs is None:
            raise SegmentationError("--photos belongs to --pairs; leave it out otherwise")
        if self.sequences and self.dataset is None:
            raise SegmentationError("--sequences chooses among the videos of --dataset; leave it out otherwise")
        check_name(self.flow)
        _ = self.placement  # refuses contradictions

    @property
    def placement(self) -> Placement:
        """Device and workers of the estimate."""
        return Placement(self.workers, self.device, self.gpus_per_worker)
