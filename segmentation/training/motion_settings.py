"""Settings of `segmentation fit-motion`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.command.settings import check_limits, setting
from segmentation.errors import SegmentationError
from segmentation.flow.settings import INPUT, OUTPUT


@dataclass(frozen=True, kw_only=True)
class MotionFitSettings:
    """Settings of `segmentation fit-motion`; every field is a command-line option."""

    photos: str = setting(
        "Dataset of `pipeline run` on whose depths and masks flow is simulated; a folder or URL.", INPUT
    )
    videos: str | None = setting(
        "Real videos with masks and flow, as davis16=DAVIS:davis-flows.zarr; their training split is used.",
        INPUT,
        default=None,
    )
    fields: Path | None = setting(
        "Folder with one .npz file per video, in place of --videos: flow (n,h,w,2) in pixels, and mask (n,h,w).",
        INPUT,
        default=None,
    )
    side_px: float | None = setting(
        "Longer side, in pixels, of the frames in whose pixels the flow of --fields is given, where the fields are "
        "smaller than the frames.",
        INPUT,
        unset="that of the fields",
        at_least=1,
        default=None,
    )
    output: Path = setting("TOML file to write, for `pipeline run --motion`.", OUTPUT)
    seed: int = setting("Seed of the random numbers of the fit.", at_least=0, default=0)

    def __post_init__(self) -> None:
        check_limits(self, SegmentationError)
        if (self.videos is None) == (self.fields is None):
            raise SegmentationError("give either --videos NAME=ROOT:FLOWS, or --fields")
        if self.output.suffix != ".toml":
            raise SegmentationError(f"--output {self.output}; expected a name that ends in .toml")
