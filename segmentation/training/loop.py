"""The course of a training run in one process, which may be one of several ranks: steps, validations, checkpoints."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any, Self

import torch
from torch import Tensor

from pipeline.command.progress import Progress
from pipeline.files.ids import shown
from segmentation.data.mixture import Mixture
from segmentation.data.transforms import PreparedBatch
from segmentation.errors import Stopped, TrainingError
from segmentation.network.checkpoint import save_network
from segmentation.network.model import TwoStreamNetwork
from segmentation.network.network_files import BEST, LAST
from segmentation.network.precision import same_bits
from segmentation.training.batches import read_steps
from segmentation.training.data_split import ValidationData
from segmentation.training.folder import (
    STOP_FILE,
    Position,
    TrainingLog,
    describe_step,
    describe_validation,
    load_state,
    save_state,
)
from segmentation.training.learner import Learner, Place
from segmentation.training.optimization import learning_rate_at
from segmentation.training.settings import TrainingSettings
from segmentation.training.validation import validate, warn_of_empty_masks

STEPS_PER_RECORD = 10
SECONDS_BETWEEN_CHECKPOINTS = 60


@dataclass
class _Sums:
    """Sums over the steps since the last record."""

    started: float
    loss: float = 0.0
    intersection: float = 0.0
    union: float = 0.0
    steps: int = 0


@dataclass(frozen=True)
class _Launched:
    """A step whose numbers are still on the device; they are read after the next step starts, to keep a GPU busy."""

    step: int
    numbers: Tensor
    ids: tuple[str, ...]


class Trainer:
    """Trains from the last checkpoint in the folder of a run to the end of the run.

    Args:
        settings: settings of the run, whose folder `held_folder` made.
        place: device and rank of this process.
        mixture: samples to learn from, opened for this rank.
        validation: samples to validate on.
        network: network with its first weights.
        progress: is told how far the run is.

    Raises:
        TrainingError: the checkpoint in the folder cannot be used.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        place: Place,
        mixture: Mixture,
        validation: ValidationData,
        network: TwoStreamNetwork,
        progress: Progress,
    ) -> None:
        self.settings, self.recipe, self.place = settings, settings.recipe, place
        self.validation, self.progress = validation, progress
        self.output = Path(settings.output)
        self.mixture = mixture
        self.learner = Learner(
            network, self.recipe, place, steps=settings.steps, seed=settings.seed, compile=settings.compile
        )
        self.position = load_state(self.output, network, self.learner.average, self.learner.optimizer, place.device)
        self.shown = ""
        self.stop_asked = threading.Event()

    def run(self) -> Position:
        """Do all remaining steps, with validations and checkpoints between them.

        Raises:
            TrainingError: the loss is not a finite number; the checkpoint before that step is kept.
            Stopped: the user pressed Ctrl-C; the state is saved.
        """
        with (
            self._stoppable(),
            same_bits(),
            torch.random.fork_rng(self.place.gpus),
            self._open_log() as log,
            closing(self._read()) as batches,
        ):
            self.sums = _Sums(time.monotonic())
            self.saved = time.monotonic()
            launched: _Launched | None = None
            try:
                while True:
                    if self._is_validation_due():
                        self._read_numbers(launched, log)
                        launched = None
                        self._validate(log)
                        self._save()
                    if self.position.step == self.settings.steps:
                        return self.position
                    now = self._step(next(batches))
                    self._read_numbers(launched, log)
                    launched = now
                    self._check_stop()
                    if time.monotonic() - self.saved > SECONDS_BETWEEN_CHECKPOINTS:
                        self._read_numbers(launched, log)
                        launched = None
                        self._save()
            except Stopped:
                self._read_numbers(launched, log)
                self._save()
                raise

    def _open_log(self) -> TrainingLog:
        return TrainingLog(self.output if self.place.rank == 0 else None, self.position.step)

    def _read(self) -> Generator[PreparedBatch, None, None]:
        return read_steps(
            self.mixture,
            self.recipe,
            seed=self.settings.seed,
            side_px=self.settings.side_px,
            first_step=self.position.step,
            readers=self.place.readers,
            pin=self.place.device == "cuda",
        )

    def _step(self, prepared: PreparedBatch) -> _Launched:
        step = self.position.step
        loss, intersection, union = self.learner.learn(prepared, step)
        self.position.step += 1
        numbers = torch.stack([loss, intersection, union, torch.zeros_like(loss)])
        if self.place.ranks > 1:
            numbers[0] /= self.place.ranks
            numbers[3] = float(self.place.rank == 0 and (self.output / STOP_FILE).exists())
            torch.distributed.all_reduce(numbers)
        return _Launched(step, numbers, prepared.ids)

    def _read_numbers(self, launched: _Launched | None, log: TrainingLog) -> None:
        """Read the numbers of a step from the device, record them, and show them.

        Raises:
            TrainingError: the loss is not a finite number.
        """
        if launched is None:
            return
        loss, intersection, union, stops = launched.numbers.tolist()
        epoch = launched.step // self.settings.steps_per_epoch
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss} in epoch {epoch + 1}, step {launched.step + 1} (samples "
                f"{', '.join(map(shown, launched.ids[:4]))}...); {self._last_good()}"
            )
        sums = self.sums
        sums.loss, sums.steps = sums.loss + loss, sums.steps + 1
        sums.intersection, sums.union = sums.intersection + intersection, sums.union + union
        done = launched.step + 1
        if done % STEPS_PER_RECORD == 0 or done % self.settings.steps_per_epoch == 0:
            seconds = time.monotonic() - sums.started
            values = {
                "loss": sums.loss / sums.steps,
                "iou": sums.intersection / max(1.0, sums.union),
                "samples_per_second": sums.steps * self.recipe.batch_size / seconds,
                "learning_rate": learning_rate_at(self.recipe, launched.step, self.settings.steps),
            }
            self.shown = describe_step(log.write("train", done, epoch + 1, **values))
            self.sums = _Sums(time.monotonic())
        size = self.recipe.batch_size
        self.progress.update(self.settings.steps * size, done * size, 0, self.shown)
        if stops:
            self.stop_asked.set()

    # ---- validation

    def _is_validation_due(self) -> bool:
        step, per_epoch = self.position.step, self.settings.steps_per_epoch
        if step == 0 or step % per_epoch or step == self.position.validated_step:
            return False
        return step == self.settings.steps or (step // per_epoch) % self.settings.epochs_between_validations == 0

    def _validate(self, log: TrainingLog) -> None:
        self._check_weights()
        started = time.monotonic()
        score = validate(
            self.learner.best_guess,
            self.validation,
            self.place,
            precision=self.recipe.precision,
            check=self._check_stop,
        )
        self.position.validated_step = step = self.position.step
        is_best = self.position.best_score is None or score.value > self.position.best_score
        if is_best:
            self.position.best_score, self.position.best_step = score.value, step
        record = log.write(
            "validation",
            step,
            step // self.settings.steps_per_epoch,
            **{score.measure: score.value, "J": score.J},
            **({} if score.F is None else {"F": score.F}),
            seconds=time.monotonic() - started,
            is_best=is_best,
            samples=self.validation.name,
            sequences=dict(score.sequences),
        )
        if is_best and self.place.rank == 0:
            self._save_network(BEST)
        self.progress.announce(describe_validation(record))
        if warning := warn_of_empty_masks(score, step / self.settings.steps):
            self.progress.announce(warning)
        self.sums = _Sums(time.monotonic())

    # ---- checkpoints

    def _save(self) -> None:
        self.saved = time.monotonic()
        self._check_weights()
        if self.place.rank == 0:
            self._save_network(LAST)
            learner = self.learner
            save_state(self.output, self.position, learner.network, learner.average, learner.optimizer)

    def _check_weights(self) -> None:
        """Raise if a weight is not a finite number, which can happen though all losses were.

        Raises:
            TrainingError: a weight is not a finite number.
        """
        if not self.learner.has_finite_weights():
            raise TrainingError(f"weights are not finite after step {self.position.step}; {self._last_good()}")

    def _last_good(self) -> str:
        """Return advice on how to continue after weights or a loss that are not finite."""
        advice = "Lower --learning-rate and train again in another --output"
        if not (self.output / LAST).exists():
            return f"there is no checkpoint yet. {advice}"
        last = quote(str(self.output / LAST))
        return f"the last good checkpoint is kept. {advice}, from it with --initialization {last}"

    def _save_network(self, folder: str) -> None:
        about = {
            "step": self.position.step,
            "best_score": self.position.best_score,
            "settings": self.settings.content(),
        }
        save_network(self.learner.best_guess, self.output / folder, about)

    # ---- stopping

    def _check_stop(self) -> None:
        if self.stop_asked.is_set():
            raise Stopped

    @contextmanager
    def _stoppable(self) -> Iterator[Self]:
        """Let Ctrl-C and SIGTERM end the run between two steps; a second one ends it at once."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return

        def ask(number: int, frame: Any) -> None:
            self.stop_asked.set()
            for one, handler in before.items():
                signal.signal(one, handler)
            self.progress.announce("stopping after this step")

        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
