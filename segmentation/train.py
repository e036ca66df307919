"""Train the two-stream network: settings in, a folder with checkpoints, numbers and pictures out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from pipeline.engine import local_share
from pipeline.progress import Progress
from segmentation.training_settings import TrainingSettings


@dataclass(frozen=True)
class TrainingSummary:
    """What a finished run leaves behind.

    Attributes:
        output: its folder.
        measure: `J&F` or `IoU`.
        best_score: of the network in `best_network`, in [0, 1].
        best_epoch: after which it was saved.
        best_network: folder for `load_network`.
        last_network: likewise.
        pictures: predictions and curves.
        seconds: of this call.
    """

    output: Path
    measure: str
    best_score: float
    best_epoch: int
    best_network: Path
    last_network: Path
    pictures: tuple[Path, ...]
    seconds: float


def train(settings: TrainingSettings, progress: Progress) -> TrainingSummary:
    """Train a network, or continue a run with `settings.resume`.

    Raises:
        SegmentationError: the data or the first weights cannot be used, the folder holds something else, the loss is
            not finite...
        PipelineError: the machine has no such device.
        KeyboardInterrupt: stopped by the user; what was learnt is saved.
    """
    from segmentation.trainer import Place, Trainer, make_network
    from segmentation.training_data import describe_data, open_data
    from segmentation.training_state import BEST, LAST, start_folder

    started = time.monotonic()
    output = Path(settings.output)
    share = local_share(settings.device)
    progress.announce(f"opening the data of {output}")
    mixture, validation = open_data(settings)
    network = make_network(settings)
    start_folder(output, settings.content() | describe_data(settings), resume=settings.resume)
    trainer = Trainer(settings, Place(share.device, share.cpus), mixture, validation, network, progress)
    if trainer.position.step:
        progress.announce(f"continuing after step {trainer.position.step} of {settings.steps}")
    batch_size = settings.recipe.batch_size
    progress.update(settings.steps * batch_size, trainer.position.step * batch_size, 0)
    progress.announce(
        f"{settings.encoder} on {share.device}, {settings.recipe.epochs} epochs of {settings.steps_per_epoch} steps"
    )
    position = trainer.run()
    assert position.best_score is not None
    return TrainingSummary(
        output,
        "J&F" if validation.with_boundaries else "IoU",
        position.best_score,
        position.best_step // settings.steps_per_epoch,
        output / BEST,
        output / LAST,
        (),
        time.monotonic() - started,
    )
