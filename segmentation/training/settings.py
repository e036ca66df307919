"""Settings of a training run."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.command.settings import check_limits, setting
from pipeline.engine.placement import Placement
from pipeline.files.places import refuse_url
from pipeline.redaction import without_credentials
from segmentation.errors import TrainingError
from segmentation.network.encoder_names import check_encoder
from segmentation.network.sizes import SIZES, NetworkSize
from segmentation.training.recipes import RECIPES, Recipe

HELD_OUT = "held-out"
INPUT, NETWORK, RECIPE, VALIDATION, WHERE, OUTPUT = (
    "Input",
    "Network",
    "Recipe",
    "Validation",
    "Where it runs",
    "Output",
)
OF_PRESET = "that of the preset"


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Settings of `segmentation train`; every field is a command-line option."""

    data: tuple[str, ...] = setting(
        "Dataset of `pipeline run` to learn from, as dutsv2.zarr or dutsv2.zarr:WEIGHT; may be repeated. With "
        "estimated flow of its pairs: pairs.zarr:FLOWS or pairs.zarr:FLOWS:WEIGHT. Photos have weight 3, videos "
        "weight 1, by default.",
        INPUT,
        default=(),
    )
    photos: str | None = setting(
        "Folder or URL of the photos of datasets that were published without images.",
        INPUT,
        unset="not needed otherwise",
        default=None,
    )
    videos: tuple[str, ...] = setting(
        "Video dataset to learn from with its flow, as davis16=DAVIS:davis-flows.zarr or with :WEIGHT behind it; "
        "may be repeated. Its training split is used.",
        INPUT,
        default=(),
    )
    sequences: tuple[str, ...] = setting(
        "Sequences of --videos to learn from: names or patterns with commas between them, as bear,car-*.",
        INPUT,
        unset="all",
        default=(),
    )
    fresh_motion: bool = setting(
        "Draw a new motion for each photo and epoch instead of the stored flow.", INPUT, default=False
    )
    zero_flow: bool = False
    """Train on photos without any motion; for comparisons, so it is no option of the command."""
    mixed_flow: bool = setting(
        "Also learn from videos whose flow was made with different weights, strides or frame sizes.",
        INPUT,
        default=False,
    )
    size: Literal["published", "small"] = setting(
        "Size of the network: published, or small, which has the encoder lite0 and a narrow decoder and suits CPUs.",
        NETWORK,
        default="published",
    )
    encoder: str | None = setting(
        "Encoder of both streams: mit-b0, mit-b1, mit-b2, lite0, lite1, lite2, or timm:NAME for a network of timm.",
        NETWORK,
        unset="mit-b1, or lite0 with --size small",
        default=None,
    )
    initialization: str = setting(
        "Weights to start from: imagenet (an encoder from the Hugging Face hub), random, the path of an encoder's "
        "weights, or the folder of a network.",
        NETWORK,
        default="imagenet",
    )
    side_px: int = setting("Side of the square that the network sees, in pixels.", NETWORK, at_least=32, default=512)
    compile: bool = setting(
        "Compile the network, which takes minutes and makes training on GPUs faster.", NETWORK, default=False
    )
    preset: Literal["modern", "paper-stage1", "paper-stage2"] = setting(
        "Recipe of the training: modern, or one of the two published stages. The next options change parts of it.",
        RECIPE,
        default="modern",
    )
    epochs: int | None = setting("Number of epochs.", RECIPE, unset=OF_PRESET, at_least=1, default=None)
    samples_per_epoch: int | None = setting(
        "Number of samples in an epoch, drawn from all sources.", RECIPE, unset=OF_PRESET, at_least=1, default=None
    )
    batch_size: int | None = setting(
        "Number of samples in a step, over all workers.", RECIPE, unset=OF_PRESET, at_least=1, default=None
    )
    learning_rate: float | None = setting(
        "Peak learning rate of the encoders; in the preset modern the decoder learns at three times this rate.",
        RECIPE,
        unset="that of the preset; modern fits it to the batch size and the number of steps",
        default=None,
    )
    seed: int = setting(
        "Seed of the random weights, the sample order and the augmentation.", RECIPE, at_least=0, default=0
    )
    select: str = setting(
        "Data on which the best network is chosen: held-out training sequences, or a split such as davis16-val.",
        VALIDATION,
        default=HELD_OUT,
    )
    validate_every: int | None = setting(
        "Number of epochs between validations.",
        VALIDATION,
        unset="100 in the published stages, otherwise such that there are about fifty validations",
        at_least=1,
        default=None,
    )
    workers: int = setting(
        "Number of Ray workers that share every step; 0 trains in this process, without Ray.",
        WHERE,
        at_least=0,
        default=0,
    )
    gpus_per_worker: int | None = setting(
        "Number of GPUs of each Ray worker.", WHERE, unset="1 if there are GPUs", at_least=1, default=None
    )
    device: Literal["auto", "cpu", "cuda"] = setting(
        "Device that the network is trained on; auto uses a GPU if there is one.", WHERE, default="auto"
    )
    output: str = setting(
        "Folder of the run, for checkpoints, metrics.jsonl, TensorBoard curves and pictures.", OUTPUT, default=""
    )
    resume: bool = setting("Continue the run in --output, with the same settings.", OUTPUT, default=False)

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
        check_limits(self, TrainingError)
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise TrainingError(f"--learning-rate is {self.learning_rate}; expected above 0")
        if self.fresh_motion and self.zero_flow:
            raise TrainingError("fresh_motion and zero_flow are both set; expected at most one of them")
        if self.size not in SIZES:
            raise TrainingError(f"--size {self.size}; expected one of {', '.join(SIZES)}")
        check_encoder(self.network_size.encoder)
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
    def network_size(self) -> NetworkSize:
        """The named size, with another encoder where one was asked for."""
        size = SIZES[self.size]
        return size if self.encoder is None else dataclasses.replace(size, encoder=self.encoder)

    @property
    def placement(self) -> Placement:
        """Device and workers of the training."""
        return Placement(self.workers, self.device, self.gpus_per_worker)

    @property
    def flow(self) -> str:
        """Kind of flow of photos, as `ShardDataset` takes it."""
        return "fresh" if self.fresh_motion else "zero" if self.zero_flow else "stored"

    @property
    def recipe(self) -> Recipe:
        """Recipe of the preset, with the values of the options in place of its own."""
        names = ("epochs", "samples_per_epoch", "batch_size", "learning_rate")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        recipe = dataclasses.replace(RECIPES[self.preset], **given)
        return recipe if self.learning_rate is not None else recipe.with_fitted_rate()

    @property
    def steps_per_epoch(self) -> int:
        """Number of whole batches in an epoch."""
        return self.recipe.samples_per_epoch // self.recipe.batch_size

    @property
    def steps(self) -> int:
        """Number of steps of the whole run."""
        return self.recipe.epochs * self.steps_per_epoch

    @property
    def epochs_between_validations(self) -> int:
        """Number of epochs between validations: as given, as in the recipe, or for about fifty validations."""
        return self.validate_every or self.recipe.validate_every or max(1, self.recipe.epochs // 50)

    def content(self) -> dict[str, Any]:
        """Return everything that decides the weights, as plain values without credentials."""
        from segmentation.videos.datasets import Sequences

        values = {name: value for name, value in dataclasses.asdict(self).items() if name not in _NOT_CONTENT}
        for name in ("data", "videos"):
            values[name] = [without_credentials(place) for place in getattr(self, name)]
        values["sequences"] = list(Sequences.parse(self.sequences).patterns)
        values["initialization"] = without_credentials(self.initialization)
        values |= dataclasses.asdict(self.network_size)
        return values | {"flow": self.flow, "recipe": dataclasses.asdict(self.recipe)}


_NOT_CONTENT = {
    "size",
    "output",
    "photos",
    "fresh_motion",
    "zero_flow",
    "mixed_flow",
    "workers",
    "gpus_per_worker",
    "device",
    "compile",
    "resume",
    "preset",
    "epochs",
    "samples_per_epoch",
    "batch_size",
    "learning_rate",
}
"""Settings that decide at most the last bits of the weights, and settings that the size, `flow` and the recipe hold."""


def option(name: str) -> str:
    """Return a setting's name on the command line."""
    return f"--{name.replace('_', '-')}"
