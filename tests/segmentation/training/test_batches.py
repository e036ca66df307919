"""Batches read by other processes: the same as read here; no signal reaches them, what goes wrong is a sentence."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from segmentation.data.mixture import Mixture
from segmentation.data.photo_samples import Triplet, TripletSource
from segmentation.data.transforms import PreparedBatch
from segmentation.errors import DatasetError, TrainingError
from segmentation.training.batches import read_steps
from segmentation.training.recipes import RECIPES

SAMPLES, BATCH = 8, 2


class Numbered(TripletSource):
    """Small drawn samples; from the third epoch on they are damaged."""

    samples = SAMPLES

    def order(self, epoch: int) -> np.ndarray:
        return np.arange(SAMPLES)

    def read(self, numbers: Sequence[int], epoch: int) -> list[Triplet]:
        if epoch == 2:
            raise DatasetError("the third epoch is damaged")
        rng = np.random.default_rng([*numbers, epoch])
        image = torch.from_numpy(rng.integers(0, 256, (9, 7, 3), np.uint8))
        flow_px = torch.from_numpy(rng.normal(size=(9, 7, 2)).astype(np.float32))
        return [Triplet(str(n), image, flow_px, torch.ones(9, 7, dtype=torch.uint8)) for n in numbers]


def read(first_step: int, readers: int) -> Generator[PreparedBatch, None, None]:
    recipe = replace(RECIPES["modern"], batch_size=BATCH)
    mixture = Mixture([(Numbered(), 1)], SAMPLES)
    return read_steps(mixture, recipe, seed=0, side_px=32, first_step=first_step, readers=readers)


def readers_since(before: set[Any]) -> set[Any]:
    return set(multiprocessing.active_children()) - before


def test_another_process_reads_the_same_and_hears_no_signal() -> None:
    others = set(multiprocessing.active_children())
    with closing(read(3, 0)) as here, closing(read(3, 1)) as there:  # from within an epoch into the next one
        for step in range(5):
            alone, beside = next(here), next(there)
            assert alone.ids == beside.ids
            assert all(torch.equal(getattr(alone, name), getattr(beside, name)) for name in ("image", "colors", "mask"))
            assert torch.equal(alone.factors, beside.factors)
            if step == 0:
                (reader,) = readers_since(others)
                for number in (signal.SIGINT, signal.SIGTERM):
                    os.kill(reader.pid or 0, number)
        for steps in (here, there):
            with pytest.raises(DatasetError) as caught:
                next(steps)
            assert str(caught.value) == "the third epoch is damaged"
    assert not readers_since(others)


def test_each_step_is_varied_in_its_own_way_and_the_same_after_a_restart() -> None:
    with closing(read(0, 0)) as steps:
        whole = [next(steps) for _ in range(2 * SAMPLES // BATCH)]
    assert len({batch.image.numpy().tobytes() for batch in whole}) == len(whole)
    assert len({tuple(batch.factors.flatten().tolist()) for batch in whole}) == len(whole)
    for first_step in (1, 3, 4, 6):
        with closing(read(first_step, 0)) as steps:
            for batch in whole[first_step:]:
                again = next(steps)
                assert again.ids == batch.ids
                assert torch.equal(again.image, batch.image)
                assert torch.equal(again.factors, batch.factors)


def test_a_lost_process_is_said() -> None:
    others = set(multiprocessing.active_children())
    with closing(read(0, 1)) as steps:
        next(steps)
        (reader,) = readers_since(others)
        os.kill(reader.pid or 0, signal.SIGKILL)
        with pytest.raises(TrainingError, match=r"a process that reads the data was lost.*--resume continues"):
            list(steps)
