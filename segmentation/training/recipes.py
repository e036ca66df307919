"""How the network is trained: the published stages, and a modern recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """Everything about training that does not depend on the data, the encoder or the machine.

    Attributes:
        optimizer: `adam` or `adamw`.
        learning_rate: the highest.
        schedule: `constant`, or `cosine`: a linear warm-up, then half a cosine down to a hundredth.
        weight_decay: of matrices and kernels; not of biases and norms.
        clip_norm: gradients longer than this are shortened to it; None = never.
        ema_decay: the moving average of the weights keeps at most this share of its past in each step; None = none.
        precision: on GPUs, `bfloat16` (autocast) or `float32`; on the CPU always float32, which is far faster there.
        batch_size: samples in a step, of all workers together.
        samples_per_epoch: drawn from all sources together.
        epochs: number of them.
        with_replacement: samples are drawn anew each time, a video first and then one of its frames, so that short
            videos count as much as long ones; else each sample comes equally often.
        validate_every: epochs between validations; None = such that there are about fifty.
        flips, smallest_crop, jitter: as of `Augmentation`.
    """

    optimizer: str
    learning_rate: float
    schedule: str
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


def _published(epochs: int) -> Recipe:
    return Recipe(
        optimizer="adam",
        learning_rate=1e-5,
        schedule="constant",
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
        learning_rate=1e-4,
        schedule="cosine",
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
