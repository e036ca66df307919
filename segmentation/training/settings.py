"""What a training run is made with."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.command.settings import setting
from pipeline.engine.placement import Placement
from pipeline.files.places import refuse_url
from pipeline.redaction import without_credentials
from segmentation.errors import TrainingError
from segmentation.network.encoder_names import check_encoder
from segmentation.training.recipes import RECIPES, Recipe

HELD_OUT = "held-out"
_AT_LEAST = {
    "epochs": 1,
    "samples_per_epoch": 1,
    "batch_size": 1,
    "side_px": 32,
    "seed": 0,
    "validate_every": 1,
    "workers": 0,
    "gpus_per_worker": 1,
}


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Settings of `segmentation train`; every field is a command-line option."""

    output: str = setting("Folder of the run: checkpoints, metrics.jsonl, TensorBoard, pictures.", default="")
    data: tuple[str, ...] = setting("Dataset of `pipeline run`, as dutsv2.zarr or dutsv2.zarr:WEIGHT.", default=())
    videos: tuple[str, ...] = setting(
        "Video dataset with its flow, as davis16=DAVIS:davis-flows.zarr[:WEIGHT]; its training split is used.",
        default=(),
    )
    sequences: tuple[str, ...] = setting(
        "Learn from these sequences of --videos alone: names or patterns, as bear,car-*.", default=()
    )
    encoder: str = setting("mit-b0, mit-b1, mit-b2, or timm:NAME.", default="mit-b1")
    initialization: str = setting(
        "imagenet (from the hub), random, the path of an encoder's weights, or a network to start from.",
        default="imagenet",
    )
    preset: Literal["modern", "paper-stage1", "paper-stage2"] = setting(
        "Recipe; the options below change parts of it.", default="modern"
    )
    epochs: int | None = setting("Number of epochs.", default=None)
    samples_per_epoch: int | None = setting("Samples of an epoch, drawn from all sources.", default=None)
    batch_size: int | None = setting("Samples of a step, of all workers together.", default=None)
    learning_rate: float | None = setting("The highest.", default=None)
    side_px: int = setting("Side of the square that the network sees, pixels.", default=512)
    flow: Literal["stored", "fresh", "zero"] = "stored"
    """Flow of photos: as stored, of a new motion in each epoch, or none at all."""
    mixed_flow: bool = setting(
        "Learn from flow of videos that was made with different weights, strides or sizes of frames.", default=False
    )
    select: str = setting(
        "What the best checkpoint is chosen on: held-out training sequences, or a split such as davis16-val.",
        default=HELD_OUT,
    )
    validate_every: int | None = setting(
        "Epochs between validations; default: 100 in the published stages, else fifty validations.", default=None
    )
    seed: int = setting("Of random weights, order, augmentation.", default=0)
    compile: bool = setting("Compile the network; takes minutes, then runs faster on GPUs.", default=False)
    workers: int = setting("0 = in this process; else so many workers on Ray.", default=0)
    gpus_per_worker: int | None = setting("Of Ray workers; default: one if there are GPUs.", default=None)
    device: Literal["auto", "cpu", "cuda"] = setting("auto = a GPU if there is one.", default="auto")
    resume: bool = setting("Continue the run in --output, with the same settings.", default=False)

    def __post_init__(self) -> None:
        if not self.output:
            raise TrainingError("no place for the run; give --output runs/NAME")
        refuse_url(self.output)
        if not self.data and not self.videos:
            raise TrainingError(
                "nothing to train on; give --data dutsv2.zarr, --videos davis16=DAVIS:davis-flows.zarr, or both"
            )
        if self.preset not in RECIPES:
            raise TrainingError(f"--preset {self.preset}; expected one of {', '.join(RECIPES)}")
        for name, low in _AT_LEAST.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise TrainingError(f"{option(name)} is {value}; expected at least {low}")
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise TrainingError(f"--learning-rate is {self.learning_rate}; expected above 0")
        check_encoder(self.encoder)
        Placement(self.workers, self.device, self.gpus_per_worker)  # refuses contradictions
        recipe = self.recipe
        if recipe.samples_per_epoch < recipe.batch_size:
            raise TrainingError(
                f"an epoch of {recipe.samples_per_epoch} samples is less than one batch of {recipe.batch_size}; lower "
                "--batch-size or raise --samples-per-epoch"
            )
        if recipe.batch_size % max(1, self.workers):
            raise TrainingError(
                f"--batch-size {recipe.batch_size} cannot be divided among --workers {self.workers}; choose a multiple"
            )

    @property
    def placement(self) -> Placement:
        """Where it is done."""
        return Placement(self.workers, self.device, self.gpus_per_worker)

    @property
    def recipe(self) -> Recipe:
        """The preset with what was changed of it."""
        names = ("epochs", "samples_per_epoch", "batch_size", "learning_rate")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return dataclasses.replace(RECIPES[self.preset], **given)

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches of an epoch."""
        return self.recipe.samples_per_epoch // self.recipe.batch_size

    @property
    def steps(self) -> int:
        """Of the whole run."""
        return self.recipe.epochs * self.steps_per_epoch

    @property
    def epochs_between_validations(self) -> int:
        """As asked for, as published, or such that there are about fifty validations."""
        return self.validate_every or self.recipe.validate_every or max(1, self.recipe.epochs // 50)

    def content(self) -> dict[str, Any]:
        """Return everything that decides the weights, as plain values without credentials."""
        values = {name: value for name, value in dataclasses.asdict(self).items() if name not in _NOT_CONTENT}
        for name in ("data", "videos", "sequences"):
            values[name] = [without_credentials(place) for place in getattr(self, name)]
        values["initialization"] = without_credentials(self.initialization)
        return values | {"recipe": dataclasses.asdict(self.recipe)}


_NOT_CONTENT = {
    "output",
    "mixed_flow",
    "workers",
    "gpus_per_worker",
    "device",
    "compile",
    "resume",
    "preset",
    "epochs",
} | {
    "samples_per_epoch",
    "batch_size",
    "learning_rate",
}
"""Settings that do not decide the weights, but for the last bits; and those that the recipe holds."""


def option(name: str) -> str:
    """Return a setting's name on the command line."""
    return f"--{name.replace('_', '-')}"
