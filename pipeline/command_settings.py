"""Settings of the commands of `pipeline`; those of `pipeline run` are `RunConfig`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.command.settings import argument, check_limits, setting, setting_of
from pipeline.errors import PipelineError
from pipeline.making.config import OUTPUT, ImportSettings, RunConfig

DATASET = "Dataset to read; a folder or URL."
PHOTOS = "Folder or URL of the photos of a dataset that was published without images."


@dataclass(frozen=True, kw_only=True)
class StatusSettings:
    """Settings of `pipeline status`."""

    dataset: str = argument(DATASET)
    failures: bool = setting("List every photo that could not be used, with the reason.", default=False)


@dataclass(frozen=True, kw_only=True)
class VerifySettings:
    """Settings of `pipeline verify`."""

    dataset: str = argument(DATASET)
    all_rows: bool = setting(
        "Compare the values of every sample, not only of 256 that are evenly spread.", flag="--all", default=False
    )
    repair: bool = setting(
        "Remove the shards that are broken, so that the command that made the dataset makes them again.", default=False
    )
    against: str | None = setting(
        "Recipe to compare the dataset with; a file or URL.", unset="no comparison", default=None
    )


@dataclass(frozen=True, kw_only=True)
class RecipeSettings:
    """Settings of `pipeline recipe`."""

    dataset: str = argument("Complete dataset of pipeline run; a folder or URL.")
    recipe: str = argument("File to write, such as dutsv2.recipe.json; a path or URL.")


@dataclass(frozen=True, kw_only=True)
class PublishSettings:
    """Settings of `pipeline publish`."""

    dataset: str = argument("Complete dataset to copy; a folder or URL.")
    destination: str = argument("Folder or URL to copy to, such as s3://bucket/name or hf://datasets/user/name.")
    without: Literal["images"] | None = setting(
        "Leave out what shows or follows from the photos (images): readers make flow and frames again from depth and "
        "motion, and images from their own copy of the photos.",
        unset="everything is published",
        default=None,
    )


@dataclass(frozen=True, kw_only=True)
class PreviewSettings:
    """Settings of `pipeline preview`."""

    dataset: str = argument(DATASET)
    output: Path = setting(
        "PNG file to write; WebP or GIF: an animation of pairs or clips; MP4: the flow of a single video.",
        OUTPUT,
        default=Path("preview.png"),
    )
    rows: int = setting("Number of photos or videos to draw, evenly spread.", OUTPUT, at_least=1, default=8)
    flows: str | None = setting(
        "Estimated flow of the pairs by `segmentation flows --pairs`, to draw beside the exact one.",
        unset="the exact flow alone",
        default=None,
    )
    photos: str | None = setting(PHOTOS, unset="depth, flow and masks alone", default=None)

    def __post_init__(self) -> None:
        check_limits(self, PipelineError)


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """Settings of `pipeline report`."""

    dataset: str = argument(DATASET)
    output: Path = setting("HTML file to write; it needs no other file.", OUTPUT, default=Path("report.html"))
    photos: str | None = setting(PHOTOS, unset="depth, flow and masks alone", default=None)


@dataclass(frozen=True, kw_only=True)
class ViewSettings:
    """Settings of `pipeline view`."""

    dataset: str = argument(DATASET)
    photos: str | None = setting(PHOTOS, unset="depth, flow and masks alone", default=None)
    port: int = setting("Port on this machine of the page; 0 = any that is free.", at_least=0, default=8765)

    def __post_init__(self) -> None:
        check_limits(self, PipelineError)


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """Settings of `pipeline export`."""

    dataset: str = argument(DATASET)
    folder: Path = argument("Folder to make or to continue.")
    layout: Literal["published", "webdataset", "parquet", "flyingchairs", "sintel", "kitti", "davis17"] = setting(
        "Layout of the tree: published = as the original training code reads it; webdataset and parquet = a few large "
        "files for the libraries webdataset and datasets. The others hold pairs or clips as readers of FlyingChairs, "
        "Sintel, KITTI flow and DAVIS-2017 expect them; they need a dataset of pipeline run --frames.",
        default="published",
    )
    photos: str | None = setting(PHOTOS, unset="not needed otherwise", default=None)


@dataclass(frozen=True, kw_only=True)
class ImportCommandSettings(ImportSettings):
    """Settings of `pipeline import`."""

    tree: str = argument("Tree of JPEGImages, JPEGFlows and Annotations to read; a folder or URL.")
    dataset: str = argument("Zarr dataset to make or to continue; a folder or URL.")
    retry_failed: bool = setting_of(RunConfig, "retry_failed")


@dataclass(frozen=True, kw_only=True)
class DepthSettings:
    """Settings of `pipeline depth`."""

    photo: Path = setting("Photo whose depth is estimated.", "Input", flag="--input")
    output: Path = setting("16-bit PNG file to write; a coloured picture NAME-preview.png is put beside it.", OUTPUT)
    depth_model: str = setting_of(RunConfig, "depth_model")
    device: Literal["auto", "cpu", "cuda"] = setting_of(RunConfig, "device")
