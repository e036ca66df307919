"""Recipes of training: the published stages, and a modern one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

FITTED_STEPS, FITTED_BATCH = 6400, 16
"""Length and batch of the training for which the learning rate in the modern recipe is meant."""
LARGEST_FACTOR = 3.0
"""Largest factor by which a shorter training raises the learning rate."""


@dataclass(frozen=True)
class Recipe:
    """Everything about training that does not depend on the data, the encoder or the machine.

    Attributes:
        optimizer: `adam` or `adamw`.
        learning_rate: peak learning rate of the encoders.
        decoder_factor: the decoder's learning rate, divided by that of the encoders.
        schedule: `constant`, or `cosine`: a linear warm-up, then half a cosine down to a hundredth of the peak.
        warm_up_steps: length of the warm-up, which takes at most a fifth of the training.
        weight_decay: weight decay of matrices and kernels; biases and norms do not decay.
        clip_norm: longest gradient; longer ones are scaled down to it. None = gradients are left as they are.
        ema_decay: largest share of its past that the moving average of the weights keeps in a step; None = no average.
        precision: arithmetic on GPUs, `bfloat16` (autocast) or `float32`; CPUs always use float32, which is far faster
            there.
        batch_size: number of samples in a step, of all workers together.
        samples_per_epoch: number of samples in an epoch, of all sources together.
        epochs: number of epochs.
        with_replacement: whether a sample is drawn anew each time, first a video and then one of its frames, so that
            short videos count as much as long ones; otherwise every sample comes equally often.
        validate_every: number of epochs between validations; None = about fifty validations in a training.
        flips, smallest_crop, jitter: arguments of `Augmentation`.
    """

    optimizer: str
    learning_rate: float
    decoder_factor: float
    schedule: str
    warm_up_steps: int
    weight_decay: float
    clip_norm: float | None
    ema_decay: float | None
    precision: str
    batch_size: int
    samples_per_epoch: int
    epochs: int
    with_replacement: bool
    validate_every: int | None
    flips: str
    smallest_crop: float
    jitter: float

    @property
    def steps(self) -> int:
        """Number of steps of the whole training."""
        return self.epochs * (self.samples_per_epoch // self.batch_size)

    def with_fitted_rate(self) -> Recipe:
        """Return the recipe with a learning rate that fits its batch and length; constant rates stay as published.

        The rate grows with the square root of the batch (Malladi et al., NeurIPS 2022, for Adam), and with the square
        root by which a training is shorter than usual, up to a limit: a short one has to go as far in fewer steps.
        """
        if self.schedule == "constant":
            return self
        shorter = math.sqrt(FITTED_STEPS / max(1, self.steps))
        factor = math.sqrt(self.batch_size / FITTED_BATCH) * min(LARGEST_FACTOR, max(1.0, shorter))
        return dataclasses.replace(self, learning_rate=self.learning_rate * factor)


def _published(epochs: int) -> Recipe:
    return Recipe(
        optimizer="adam",
        learning_rate=1e-5,
        decoder_factor=1.0,
        schedule="constant",
        warm_up_steps=0,
        weight_decay=0.0,
        clip_norm=None,
        ema_decay=None,
        precision="float32",
        batch_size=16,
        samples_per_epoch=512,
        epochs=epochs,
        with_replacement=True,
        validate_every=100,
        flips="reference",
        smallest_crop=1.0,
        jitter=0.0,
    )


RECIPES: Mapping[str, Recipe] = {
    # Cho et al., arXiv 2407.11714: YouTube-VOS alone; then, from the last weights of that, 384 photos and 128 video
    # frames in each epoch.
    "paper-stage1": _published(epochs=4000),
    "paper-stage2": _published(epochs=2000),
    "modern": Recipe(
        optimizer="adamw",
        learning_rate=2e-4,
        decoder_factor=3.0,
        schedule="cosine",
        warm_up_steps=100,
        weight_decay=0.01,
        clip_norm=1.0,
        ema_decay=0.999,
        precision="bfloat16",
        batch_size=16,
        samples_per_epoch=512,
        epochs=200,
        with_replacement=False,
        validate_every=None,
        flips="physical",
        smallest_crop=0.5,
        jitter=0.3,
    ),
}
