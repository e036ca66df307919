"""A training run: from its settings to a folder with checkpoints, numbers and pictures."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.command.progress import Progress, Silent
from pipeline.engine.placement import Share, count_of, local_share
from segmentation.training.settings import TrainingSettings

if TYPE_CHECKING:
    from segmentation.data.mixture import Mixture
    from segmentation.network.model import TwoStreamNetwork
    from segmentation.training.data_split import ValidationData


@dataclass(frozen=True)
class TrainingSummary:
    """Outcome of a finished run.

    Attributes:
        output: folder of the run.
        measure: measure of the validations, `J&F` or `IoU`.
        best_score: score of the best network, in [0, 1].
        best_epoch: epoch after which the best network was saved.
        best_network: folder of the best network, for `load_network`.
        last_network: folder of the last network, for `load_network`.
        pictures: files with predictions and curves.
        seconds: duration of this call.
    """

    output: Path
    measure: str
    best_score: float
    best_epoch: int
    best_network: Path
    last_network: Path
    pictures: tuple[Path, ...]
    seconds: float


def train(settings: TrainingSettings, progress: Progress | None = None) -> TrainingSummary:
    """Train a network, or continue a run with `settings.resume`.

    Args:
        settings: settings of the run.
        progress: is told how far the run is; None = nobody is.

    Raises:
        SegmentationError: the data, the first weights or the folder cannot be used, or the loss is not finite.
        PipelineError: the machine has no such device.
        Stopped: the user pressed Ctrl-C; what was learnt is saved.
        KeyboardInterrupt: the user pressed Ctrl-C again, or before the first step; the last checkpoint is kept.
    """
    check_sources(settings)  # before torch is imported
    from segmentation.training.data_split import open_data
    from segmentation.training.folder import held_folder
    from segmentation.training.initialization import make_network

    progress = progress or Silent()
    started = time.monotonic()
    output = Path(settings.output)
    progress.announce("opening the data")
    # Workers on Ray open the data and build the network again, each for itself. They are opened here as well, so that
    # errors are reported before Ray starts and the folder is made, and because the pictures at the end need them.
    mixture, validation = open_data(settings)
    for note in filter(None, (source.note for source in mixture.sources)):
        progress.announce(f"note: {note}")
    if settings.recipe.flips == "physical" and any(source.has_flow_pictures for source in mixture.sources):
        progress.announce(
            "flow pictures are coloured anew where a sample is mirrored, which loses what lies off the wheel of "
            "colours; the published presets leave colours as they are"
        )
    network = make_network(settings.network_size, settings.initialization, side_px=settings.side_px, seed=settings.seed)
    content = settings.content() | {"fingerprints": mixture.fingerprints}
    share = None if settings.workers else local_share(settings.device)
    with held_folder(output, content, resume=settings.resume):
        if share is None:
            from segmentation.training.on_ray import train_on_ray

            train_on_ray(settings, progress)
        else:
            _train_here(settings, share, mixture, validation, network, progress)
        return _summarize(settings, validation, started)


def check_sources(settings: TrainingSettings) -> None:
    """Raise if the first weights, a dataset or its flow does not exist; nothing is listed, loaded or downloaded."""
    from segmentation.data.source_names import PhotoSource, VideoSource
    from segmentation.network.encoder_names import check_initialization

    check_initialization(settings.network_size.encoder, settings.initialization)
    for text in settings.data:
        PhotoSource.parse(text).check()
    for text in settings.videos:
        VideoSource.parse(text).check()


def _train_here(
    settings: TrainingSettings,
    share: Share,
    mixture: Mixture,
    validation: ValidationData,
    network: TwoStreamNetwork,
    progress: Progress,
) -> None:
    from segmentation.training.batches import readers_for
    from segmentation.training.learner import Place
    from segmentation.training.loop import Trainer

    place = Place(share.device, readers_for(share.device, share.cpus))
    trainer = Trainer(settings, place, mixture, validation, network, progress)
    if trainer.position.step:
        progress.announce(f"continuing {settings.output} after step {trainer.position.step} of {settings.steps}")
    size = settings.recipe.batch_size
    progress.update(settings.steps * size, trainer.position.step * size, 0)
    progress.announce(
        f"{settings.network_size.encoder} on {share.device}: {count_of(settings.recipe.epochs, 'epoch')} of "
        f"{count_of(settings.steps_per_epoch, 'step')}, judged by {validation.name}"
    )
    trainer.run()


def _summarize(settings: TrainingSettings, validation: ValidationData, started: float) -> TrainingSummary:
    """Draw the pictures of a run, and return its outcome."""
    from segmentation.network.checkpoint import load_network
    from segmentation.network.network_files import BEST, CONFIG_FILE, LAST
    from segmentation.training.pictures import CURVES_FILE, PREDICTIONS_FILE, draw_curves, draw_predictions

    output = Path(settings.output)
    # The workers may have had devices that this machine lacks.
    device = local_share("auto" if settings.workers else settings.device).device
    network = load_network(output / BEST).to(device)
    pictures = output / PREDICTIONS_FILE, output / CURVES_FILE
    draw_predictions(network, validation, pictures[0], device=device, precision=settings.recipe.precision)
    draw_curves(output, pictures[1])
    measure = "J&F" if validation.with_boundaries else "IoU"
    about = json.loads((output / BEST / CONFIG_FILE).read_text())["about"]
    return TrainingSummary(
        output,
        measure,
        about["best_score"],
        about["step"] // settings.steps_per_epoch,
        output / BEST,
        output / LAST,
        pictures,
        time.monotonic() - started,
    )
