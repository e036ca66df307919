"""The batches of a training run, step by step; beside a GPU, processes of their own read and prepare them."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from segmentation.data.mixture import Mixture
from segmentation.data.transforms import Augmentation, PreparedBatch, prepare_batch
from segmentation.errors import SegmentationError, TrainingError
from segmentation.training.recipes import Recipe

_MOST_READERS = 8


def readers_for(device: str, cpus: int) -> int:
    """Return the number of processes that read data: none on CPUs, whose cores train the network."""
    return 0 if device == "cpu" else min(_MOST_READERS, max(1, cpus - 1))


def seed_of(seed: int, step: int, rank: int, use: int) -> int:
    """Return the seed of one random draw of a training; it depends on nothing but these numbers.

    Args:
        seed: seed of the run.
        step: number of the step.
        rank: rank of the process.
        use: purpose of the draw: 0 = augmentation, 1 = stochastic depth.
    """
    return int(np.random.SeedSequence([seed, step, rank, use]).generate_state(1, np.uint64)[0] >> 1)


class _StepBatches(Dataset[PreparedBatch | SegmentationError]):
    """The batches of the remaining steps of an epoch; a batch depends on nothing but the seed and its step.

    Errors that the user can repair are returned as values, because an error raised in another process carries a
    traceback. The `set_epoch` of the mixture sets the epoch and its first step.
    """

    def __init__(self, mixture: Mixture, recipe: Recipe, seed: int, side_px: int) -> None:
        self.mixture, self.seed, self.side_px = mixture, seed, side_px
        self.batch_size = recipe.batch_size // mixture.ranks
        self.steps_per_epoch = mixture.samples // recipe.batch_size
        self.augmentation = Augmentation(recipe.flips, recipe.smallest_crop, recipe.jitter)

    def __len__(self) -> int:
        """Return the number of remaining steps of the epoch."""
        return self.steps_per_epoch - self.mixture.start[1] // self.batch_size

    def __getitem__(self, place: int) -> PreparedBatch | SegmentationError:
        """Read and prepare the batch of a step, counted from the first remaining step of the epoch."""
        epoch, skipped = self.mixture.start
        step = epoch * self.steps_per_epoch + skipped // self.batch_size + place
        first = place * self.batch_size
        generator = torch.Generator().manual_seed(seed_of(self.seed, step, self.mixture.rank, use=0))
        try:
            samples = self.mixture.__getitems__(range(first, first + self.batch_size))
            return prepare_batch(samples, augmentation=self.augmentation, generator=generator, side_px=self.side_px)
        except SegmentationError as error:
            return error
        except MemoryError:
            return too_little_memory("machine", self.batch_size, self.side_px)


def read_steps(
    mixture: Mixture,
    recipe: Recipe,
    *,
    seed: int,
    side_px: int,
    first_step: int = 0,
    readers: int = 0,
    pin: bool = False,
) -> Generator[PreparedBatch, None, None]:
    """Yield the batches of all steps without end; closing the generator ends the processes that read.

    Args:
        mixture: samples, opened for this rank.
        recipe: recipe with the batch size over all ranks and the augmentation.
        seed: seed of the run.
        side_px: side of the squares that the network sees.
        first_step: number of steps done so far.
        readers: number of processes that read; 0 = this process reads.
        pin: put batches into pinned memory, from which a GPU copies by itself.

    Raises:
        SegmentationError: a sample cannot be used.
        TrainingError: a process that reads was lost.
    """
    batches = _StepBatches(mixture, recipe, seed, side_px)
    loader = DataLoader(
        batches,
        batch_size=None,
        collate_fn=_as_it_is,
        num_workers=readers,
        persistent_workers=readers > 0,
        multiprocessing_context="spawn" if readers else None,
        worker_init_fn=_start_reader,
        pin_memory=pin,
    )
    epoch, skipped = divmod(first_step, batches.steps_per_epoch)
    steps: Any = None
    try:
        while True:
            mixture.set_epoch(epoch, skip=skipped * batches.batch_size)
            with _signals_held_back():
                steps = iter(loader)
            for _ in range(skipped, batches.steps_per_epoch):
                yield _next(steps)
            epoch, skipped = epoch + 1, 0
    finally:
        if readers and steps is not None:
            steps._shutdown_workers()  # torch would when nothing refers to them; an error's traceback does


def too_little_memory(where: str, samples: int, side_px: int) -> TrainingError:
    """Return the error for too little memory, which says how to need less."""
    return TrainingError(
        f"the {where} has too little memory for {samples} samples of {side_px} px at a time; lower --batch-size or "
        "--side-px, or share the batch among more --workers"
    )


def _next(steps: Iterator[PreparedBatch | SegmentationError]) -> PreparedBatch:
    try:
        batch = next(steps)
    except (RuntimeError, ConnectionError, FileNotFoundError, EOFError) as error:
        if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
            raise
        raise TrainingError(  # torch says so, or a batch that the process had sent can no longer be fetched
            "a process that reads the data was lost, perhaps because memory ran out; free some memory, then --resume "
            "continues"
        ) from error
    if isinstance(batch, SegmentationError):
        raise batch
    return batch


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Block SIGINT and SIGTERM while processes are started, so that they inherit the block and ignore both signals.

    A terminal sends Ctrl-C to all processes of a run, and a batch system sends SIGTERM. Only the process that trains
    may react: it saves the run and then ends the others. A signal that arrives meanwhile is delivered afterwards.
    """
    resource_tracker.ensure_running()  # it would let the signals through when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_reader(_: int) -> None:
    cv2.setNumThreads(1)


def _as_it_is(batch: Any) -> Any:
    return batch
