"""The optimiser of a recipe, and the learning rate in each step."""

from __future__ import annotations

import math

from torch.optim import Adam, AdamW, Optimizer

from segmentation.network.model import TwoStreamNetwork
from segmentation.training.recipes import Recipe

LONGEST_WARM_UP_SHARE = 0.2
LOWEST_SHARE = 0.01
OPTIMIZERS = {"adam": Adam, "adamw": AdamW}
FACTOR = "factor"
"""Key of a group of parameters under which its share of the learning rate stands."""


def make_optimizer(network: TwoStreamNetwork, recipe: Recipe) -> Optimizer:
    """Return the recipe's optimiser of all parameters that learn.

    Parameters with a single axis (biases and norms) do not decay. The decoder, which always starts from random weights,
    learns at a rate of its own.
    """
    decoder = {id(parameter) for parameter in network.decoder.parameters()}
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {
            "params": [p for p in parameters if (id(p) in decoder) == is_decoder and (p.ndim > 1) == decays],
            "weight_decay": recipe.weight_decay if decays else 0.0,
            FACTOR: recipe.decoder_factor if is_decoder else 1.0,
        }
        for is_decoder in (False, True)
        for decays in (True, False)
    ]
    optimizer: Optimizer = OPTIMIZERS[recipe.optimizer](groups, lr=recipe.learning_rate, fused=True)
    return optimizer


def set_learning_rate(optimizer: Optimizer, recipe: Recipe, step: int, steps: int) -> None:
    """Give every group of parameters its learning rate in step 0..steps-1."""
    for group in optimizer.param_groups:
        group["lr"] = group[FACTOR] * learning_rate_at(recipe, step, steps)


def learning_rate_at(recipe: Recipe, step: int, steps: int) -> float:
    """Return the learning rate of the encoders in step 0..steps-1."""
    if recipe.schedule == "constant":
        return recipe.learning_rate
    warm_up = min(recipe.warm_up_steps, math.ceil(LONGEST_WARM_UP_SHARE * steps))
    if step < warm_up:
        return recipe.learning_rate * (step + 1) / (warm_up + 1)
    done = (step - warm_up) / max(1, steps - warm_up)
    return recipe.learning_rate * (LOWEST_SHARE + (1 - LOWEST_SHARE) * (1 + math.cos(math.pi * done)) / 2)
