"""Settings of `segmentation evaluate` and `segmentation predict`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from depth import DEFAULT_MODEL
from pipeline.command.settings import argument, check_limits, setting, setting_of
from pipeline.engine.placement import Placement
from segmentation.errors import SegmentationError
from segmentation.flow.estimator_names import check_name
from segmentation.flow.settings import INPUT, OUTPUT, EstimatorSettings, FlowCommandSettings
from segmentation.network.network_files import EMBEDDED_NETWORK

NETWORK, DEPTH = "Network", "Depth"
CHECKPOINT = (
    "Network: tiny-vos, which is part of fakeflow, the folder of a run of `segmentation train`, whose best network is "
    "used, or a released FakeFlow_mitb*.pth."
)


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings(EstimatorSettings):
    """Settings of `segmentation evaluate`; every field is a command-line option."""

    dataset: tuple[str, ...] = setting(
        "Video dataset, as NAME=ROOT or NAME=ROOT:FLOWS, such as davis16=DAVIS:davis-flows.zarr; may be repeated. "
        "FLOWS is what `segmentation flows` wrote, or the root of a JPEGFlows tree; without it, the flow of the "
        "frames to score is estimated.",
        INPUT,
    )
    sequences: tuple[str, ...] = setting_of(FlowCommandSettings, "sequences")
    checkpoint: Path = setting(CHECKPOINT, NETWORK, default=Path(EMBEDDED_NETWORK))
    side_px: int | None = setting(
        "Side of the square that the network sees, in pixels.",
        NETWORK,
        unset="as it was trained",
        at_least=32,
        default=None,
    )
    output: Path = setting(
        "Folder for masks, scores and pictures; the same command again predicts only what is missing.", OUTPUT
    )
    workers: int | None = setting_of(FlowCommandSettings, "workers")
    gpus_per_worker: float | None = setting_of(FlowCommandSettings, "gpus_per_worker")
    device: Literal["auto", "cpu", "cuda"] = setting_of(FlowCommandSettings, "device")

    def __post_init__(self) -> None:
        check_limits(self, SegmentationError)
        check_name(self.flow)
        _ = self.placement  # refuses contradictions

    @property
    def placement(self) -> Placement:
        """Device and workers of the prediction and the estimate of flow."""
        return Placement(self.workers, self.device, self.gpus_per_worker)


@dataclass(frozen=True, kw_only=True)
class PredictionSettings(EstimatorSettings):
    """Settings of `segmentation predict`; every field is an argument or option of the command."""

    inputs: tuple[Path, ...] = argument("Video files, folders of frames, and photos.")
    checkpoint: Path = setting_of(EvaluationSettings, "checkpoint")
    side_px: int | None = setting_of(EvaluationSettings, "side_px")
    output: Path = setting("Folder in which each input gets a folder of its own name.", OUTPUT)
    depth_model: str = setting(
        "Depth network from which the flow of photos is simulated, named as for `pipeline run`; tiny-dpt is part of "
        "fakeflow and works offline.",
        DEPTH,
        default=DEFAULT_MODEL,
    )
    device: Literal["auto", "cpu", "cuda"] = setting_of(FlowCommandSettings, "device")

    def __post_init__(self) -> None:
        check_limits(self, SegmentationError)
        check_name(self.flow)
