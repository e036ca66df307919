"""Scenes with known layers, and motions with known numbers, for tests of rendering."""

import cv2
import numpy as np

from flowsim import MotionSample


def picture(height: int, width: int, wavelength_px: float, seed: int = 0) -> np.ndarray:
    """Return a photo (h,w,3) uint8 of noise whose finest details have about this size."""
    noise = np.random.default_rng(seed).normal(size=(height, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), wavelength_px / 4)
    return np.clip(128 + 60 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def slope(height: int, width: int, far: float = 0.1, near: float = 0.5) -> np.ndarray:
    """Return inverse depth (h,w) of a ground that comes nearer towards the lower border."""
    return np.repeat(np.linspace(far, near, height, dtype=np.float32)[:, None], width, 1)


def disk(height: int, width: int, row: float, column: float, radius_px: float) -> np.ndarray:
    """Return the anti-aliased mask (h,w) uint8 of a disk."""
    ys, xs = np.mgrid[:height, :width]
    return (255 * np.clip(radius_px + 0.5 - np.hypot(ys - row, xs - column), 0, 1)).astype(np.uint8)


def motion(**changes) -> MotionSample:
    """Return a resolved motion that keeps everything still, apart from some changes."""
    still = dict(
        model="rigid",
        shot=0,
        magnitude=0.05,
        percentile=90.0,
        largest=0.5,
        fov_deg=60.0,
        far=10.0,
        zero_plane=0.0,
        scale=1.0,
        rotation=(0.0, 0.0, 0.0),
        translation=(0.0, 0.0, 0.0),
        object_rotation=(0.0, 0.0, 0.0),
        object_translation=(0.0, 0.0, 0.0),
        pivot=(0.0, 0.0, 2.0),
    )
    return MotionSample(**(still | changes))
