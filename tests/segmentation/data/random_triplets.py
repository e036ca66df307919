"""Triplets of random values and generators for the tests of batches."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from segmentation.data.photo_samples import Triplet


def make_sample(height: int, width: int, seed: int = 0) -> Triplet:
    rng = np.random.default_rng(seed)
    image = cv2.resize(rng.integers(0, 256, (4, 4, 3), np.uint8), (width, height))
    flow_px = cv2.resize(rng.normal(0, 5, (4, 4, 2)).astype(np.float32), (width, height))
    mask = np.zeros((height, width), np.uint8)
    mask[: height // 2, : width // 3] = 1
    return Triplet(f"s{seed}", torch.from_numpy(image), torch.from_numpy(flow_px), torch.from_numpy(mask))


def make_generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
