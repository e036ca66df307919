"""Small networks and photos for the tests of depth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from depth.tiny import TinyDPT
from tests.depth.random_networks import randomize


@pytest.fixture(scope="session")
def photos() -> list[np.ndarray]:
    """Return five photos of four sizes: coarse random colours, so that networks see structure."""
    rng = np.random.default_rng(0)
    sizes = ((60, 80), (80, 60), (60, 80), (40, 120), (97, 61))
    return [
        np.kron(rng.integers(0, 256, (h // 8 + 1, w // 8 + 1, 3)), np.ones((8, 8, 1)))[:h, :w].astype(np.uint8)
        for h, w in sizes
    ]


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny-dpt with random weights that runs at a shorter side of 64."""
    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    TinyDPT().save(folder, short_side=64)
    return folder


@pytest.fixture(scope="session")
def dpt_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a DPT of transformers with four narrow layers and random weights."""
    from transformers import DPTConfig, DPTForDepthEstimation

    folder = tmp_path_factory.mktemp("dpt")
    torch.manual_seed(0)
    config = DPTConfig(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=64,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 16, 32, 32],
        fusion_hidden_size=16,
    )
    model = DPTForDepthEstimation(config)
    randomize(model)
    model.save_pretrained(folder)
    return folder
