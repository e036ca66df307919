"""RAFT checkpoints in the authors' names with deterministic stand-in weights, and frames to try them on."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import torch

from tests.depth.stand_in_weights import state_dict

REFERENCE = Path(__file__).parent / "reference"


def save_checkpoint(path: Path, network: str) -> Path:
    """Save `raft` or `raft_small` as princeton-vl does, from data-parallel training: `module.` before every name."""
    shapes = json.loads((REFERENCE / "raft_state_dicts.json").read_text())[network]
    state = state_dict({name.removeprefix("module."): shape for name, shape in shapes.items()})
    torch.save({f"module.{name}": torch.from_numpy(values) for name, values in state.items()}, path)
    return path


def moving_texture(frames: int, height: int = 128, width: int = 160, seed: int = 0) -> np.ndarray:
    """Draw a smooth random texture that moves 3 px to the right and 1 px down a frame; (t, h, w, 3) uint8."""
    rng = np.random.default_rng(seed)
    side = max(height, width) + 4 * frames
    coarse = rng.integers(0, 256, (side // 6, side // 6, 3)).astype(np.uint8)
    texture = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    starts = [(frames - k, 3 * (frames - k)) for k in range(frames)]
    return np.stack([texture[row : row + height, column : column + width] for row, column in starts])
