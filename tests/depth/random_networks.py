"""Random weights that make a network's output depend on the photo."""

from __future__ import annotations

from typing import Any

import torch


def randomize(model: Any) -> None:
    """Fill a depth model of transformers with random weights; its own initialisation gives nearly constant output."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / parameter[0].numel() ** 0.5)
        last = [module for module in model.head.modules() if isinstance(module, torch.nn.Conv2d)][-1]
        last.bias.fill_(1)
