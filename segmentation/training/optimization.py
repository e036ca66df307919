"""From a recipe to an optimiser, and its learning rate in each step."""

from __future__ import annotations

import math

from torch import nn
from torch.optim import Adam, AdamW, Optimizer

from segmentation.training.recipes import Recipe

WARM_UP_SHARE, LONGEST_WARM_UP = 0.05, 1000
LOWEST_SHARE = 0.01
OPTIMIZERS = {"adam": Adam, "adamw": AdamW}


def make_optimizer(network: nn.Module, recipe: Recipe) -> Optimizer:
    """Return the recipe's optimiser over all parameters; those of one axis (norms, biases) do not decay."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer: Optimizer = OPTIMIZERS[recipe.optimizer](groups, lr=recipe.learning_rate, fused=True)
    return optimizer


def learning_rate_at(recipe: Recipe, step: int, steps: int) -> float:
    """Return the learning rate of step 0..steps-1."""
    if recipe.schedule == "constant":
        return recipe.learning_rate
    warm_up = min(LONGEST_WARM_UP, math.ceil(WARM_UP_SHARE * steps))
    if step < warm_up:
        return recipe.learning_rate * (step + 1) / (warm_up + 1)
    done = (step - warm_up) / max(1, steps - warm_up)
    return recipe.learning_rate * (LOWEST_SHARE + (1 - LOWEST_SHARE) * (1 + math.cos(math.pi * done)) / 2)
