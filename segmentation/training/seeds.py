"""Seeds of what a training draws: each follows from the run's seed and the place of the draw alone."""

from __future__ import annotations

import numpy as np


def seed_of(seed: int, step: int, rank: int, use: int) -> int:
    """Return the seed of one draw.

    Args:
        seed: of the run.
        step: of the training.
        rank: of the process.
        use: tells the draws of one step apart: 0 = augmentation, 1 = stochastic depth.
    """
    return int(np.random.SeedSequence([seed, step, rank, use]).generate_state(1, np.uint64)[0] >> 1)
