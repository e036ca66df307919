"""The batches of a training run by steps, prepared where they are read: beside a GPU in processes of their own."""

from __future__ import annotations

import signal
from collections.abc import Generator
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from segmentation.mixture import Mixture
from segmentation.transforms import Augmentation, PreparedBatch, prepare_batch


class StepBatches(Dataset[PreparedBatch]):
    """What is left of an epoch.

    What a batch holds follows from the seed and the step alone.

    Args:
        mixture: of this rank; its `set_epoch` says where the epoch starts.
        batch_size: samples of this rank in a step.
        steps_per_epoch: whole batches of an epoch.
        augmentation: how samples are varied.
        side_px: of the square that the network sees.
        seed: of the run.
    """

    def __init__(
        self,
        mixture: Mixture,
        batch_size: int,
        steps_per_epoch: int,
        augmentation: Augmentation,
        side_px: int,
        seed: int,
    ) -> None:
        self.mixture, self.batch_size, self.steps_per_epoch = mixture, batch_size, steps_per_epoch
        self.augmentation, self.side_px, self.seed = augmentation, side_px, seed

    def __len__(self) -> int:
        """Return how many steps are left of the epoch."""
        return self.steps_per_epoch - self.mixture.start[1] // self.batch_size

    def __getitem__(self, place: int) -> PreparedBatch:
        """Read and prepare the batch of a step, counted from where the epoch starts.

        Raises:
            DatasetError: a sample cannot be used.
        """
        if not 0 <= place < len(self):
            raise IndexError(f"step {place} of {len(self)}")
        epoch, skipped = self.mixture.start
        step = epoch * self.steps_per_epoch + skipped // self.batch_size + place
        first = place * self.batch_size
        samples = self.mixture.__getitems__(range(first, first + self.batch_size))
        generator = torch.Generator().manual_seed(seed_of(self.seed, step, self.mixture.rank, 0))
        return prepare_batch(samples, augmentation=self.augmentation, generator=generator, side_px=self.side_px)


def read_steps(batches: StepBatches, step: int, readers: int, *, pin: bool) -> Generator[PreparedBatch, None, None]:
    """Yield the batches of all steps from `step` on, without end; closing the generator ends the readers.

    Args:
        batches: of the run.
        step: where to start.
        readers: processes that read; 0 = this one.
        pin: place batches in memory from which a GPU copies by itself.
    """
    loader: DataLoader[PreparedBatch] = DataLoader(
        batches,
        batch_size=None,
        collate_fn=_as_it_is,
        num_workers=readers,
        persistent_workers=readers > 0,
        multiprocessing_context="spawn" if readers else None,
        worker_init_fn=_start_reader,
        pin_memory=pin,
    )
    epoch, skipped = divmod(step, batches.steps_per_epoch)
    while True:
        batches.mixture.set_epoch(epoch, skip=skipped * batches.batch_size)
        yield from loader
        epoch, skipped = epoch + 1, 0


def seed_of(seed: int, step: int, rank: int, use: int) -> int:
    """Return the seed of one draw."""
    return int(np.random.SeedSequence([seed, step, rank, use]).generate_state(1, np.uint64)[0] >> 1)


def _as_it_is(batch: Any) -> Any:
    return batch


def _start_reader(_: int) -> None:
    # Ctrl-C reaches every process of a terminal, a batch system's SIGTERM every process of a job: the training process
    # alone answers, and ends the readers when it has saved.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    cv2.setNumThreads(1)
