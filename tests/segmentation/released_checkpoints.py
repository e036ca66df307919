"""Stand-ins for the released checkpoints: their names and shapes, with values that need no download."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from tests.depth import stand_in_weights

REFERENCE = Path(__file__).parent / "reference"


def read_shapes(network: str) -> dict[str, tuple[int, ...]]:
    shapes = json.loads((REFERENCE / "fakeflow_state_dicts.json").read_text())[network]
    return {name: tuple(shape) for name, shape in shapes.items()}


def save_stand_in(path: Path, network: str) -> Path:
    """Save a checkpoint with the values that the reference was computed with."""
    weights = stand_in_weights.state_dict(read_shapes(network))
    torch.save({name: torch.from_numpy(value) for name, value in weights.items()}, path)
    return path


def save_zeros(path: Path, network: str, *, without: str = "-", **replaced: Tensor) -> Path:
    """Save a checkpoint with the right names and shapes whose values, all zero, share one byte of storage."""
    zero = torch.zeros(1)
    weights = {name: zero.expand(shape) for name, shape in read_shapes(network).items() if without not in name}
    torch.save(weights | replaced, path)
    return path
