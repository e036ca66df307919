"""Small videos with a moving square, networks that see something in them, and the plain way to predict their masks."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch

from flowsim import flow_to_rgb
from segmentation.network.checkpoint import load_network, save_network
from segmentation.network.model import TwoStreamNetwork
from tests.conftest import write_png
from tests.segmentation.stand_in_raft import moving_texture


def save_small_network(folder: Path, seed: int = 0) -> Path:
    """Save a network of random weights whose masks are neither empty nor full."""
    network = TwoStreamNetwork("mit-b0", initialization="random", side_px=64, seed=seed).eval()
    frame = torch.from_numpy(moving_texture(1)[0]).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        background, found = network(frame, frame.flip(3))[0]
        assert network.decoder.predictor.bias is not None
        network.decoder.predictor.bias[0] += (found - background).median()
    save_network(network, folder)
    return folder


def draw_davis(root: Path, **frames_of: int) -> Path:
    """Write a DAVIS-2016 tree of textures, 128x160, on which a square lies; all videos are in its val list."""
    for seed, (name, frames) in enumerate(frames_of.items()):
        for k, frame in enumerate(moving_texture(frames, seed=seed)):
            mask = np.zeros(frame.shape[:2], np.uint8)
            mask[30:90, 20 + 3 * k : 80 + 3 * k] = 255
            write_png(
                root / "JPEGImages/480p" / name / f"{k:05d}.png", np.where(mask[..., None] > 0, 255 - frame, frame)
            )
            write_png(root / "Annotations/480p" / name / f"{k:05d}.png", mask)
    (root / "ImageSets/2016").mkdir(parents=True)
    (root / "ImageSets/2016/val.txt").write_text("".join(f"{name}\n" for name in frames_of))
    return root


_network = cache(load_network)


def plain_mask(checkpoint: Path, image: np.ndarray, flow_px: np.ndarray) -> np.ndarray:
    """Predict one frame by `TwoStreamNetwork.predict` alone; 0 and 255."""
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
    longest_px = max(1.0, float(np.nanmax(np.hypot(flow_px[..., 0], flow_px[..., 1]))))
    colors = flow_to_rgb(torch.from_numpy(flow_px)[None], longest_px).movedim(-1, 1) / 255
    return _network(checkpoint).predict(pixels, colors)[0].numpy() * np.uint8(255)


def read_rgb(path: Path) -> np.ndarray:
    return cv2.imread(str(path))[..., ::-1].copy()


def read_grey(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
