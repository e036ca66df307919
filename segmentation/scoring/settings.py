"""Settings of `segmentation score` and `segmentation benchmark`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.command.settings import argument, setting, setting_of
from segmentation.errors import SegmentationError
from segmentation.flow.settings import INPUT, OUTPUT, FlowCommandSettings

MEASURES = "Measures"


@dataclass(frozen=True, kw_only=True)
class ScoreSettings:
    """Settings of `segmentation score`; every field is a command-line option."""

    dataset: str = setting("Name of the video dataset in --root: davis16, fbms, ytobj, lvid or segtrackv2.", INPUT)
    root: Path = setting("Folder of the video dataset, which holds the true masks.", INPUT)
    predictions: Path = setting("Folder that holds one folder of predicted mask images per video.", INPUT)
    split: str | None = setting(
        "Split of the dataset that is scored.", INPUT, unset="the one that papers report", default=None
    )
    sequences: tuple[str, ...] = setting_of(FlowCommandSettings, "sequences")
    allow_missing: bool = setting(
        "Score the frames that are predicted; missing ones are left out of the means.", INPUT, default=False
    )
    protocol: str | None = setting(
        "Protocol to score by, such as davis16-all-frames.", MEASURES, unset="that of the dataset", default=None
    )
    threshold: float = setting(
        "Lowest grey level that counts as object, as a share of 255; more than 0, at most 1.", MEASURES, default=0.5
    )
    saliency: bool = setting("Also measure MAE, F-beta, S- and E-measure of the soft masks.", MEASURES, default=False)
    json: Path | None = setting("JSON file to write, with all scores, also per frame.", OUTPUT, default=None)
    plot: Path | None = setting("Picture to write: J and F of every frame over time.", OUTPUT, default=None)
    worst: Path | None = setting("Picture to write: the frames of lowest J.", OUTPUT, default=None)

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise SegmentationError(f"--threshold is {self.threshold}; expected more than 0, at most 1")


@dataclass(frozen=True, kw_only=True)
class BenchmarkSettings:
    """Settings of `segmentation benchmark`; every field is an argument or option of the command."""

    methods: tuple[str, ...] = argument(
        "Methods to compare, each as NAME=FOLDER. FOLDER holds one folder of mask images per video, or a folder of the "
        "dataset's name that holds them, as segmentation evaluate writes it."
    )
    dataset: tuple[str, ...] = setting(
        "Video dataset as NAME=ROOT, such as davis16=DAVIS; ROOT holds the true masks. NAME may also be a protocol, "
        "such as davis16-all-frames. May be repeated.",
        INPUT,
    )
    output: Path = setting("Folder for benchmark.md, benchmark.html and benchmark.json.", OUTPUT)
