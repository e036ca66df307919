"""How far masks follow a flow that misleads: in background that moves, and in objects that do not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.ablation_masks import misled
from benchmarks.baselines import moving
from segmentation.data.photo_samples import Triplet

SIZE = (40, 60)


def area(top: int, bottom: int, left: int, right: int) -> np.ndarray:
    """A rectangle as a mask."""
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


OBJECT, SHADOW, STANDING = area(10, 20, 10, 30), area(20, 24, 10, 30), area(10, 20, 25, 30)


def frame() -> Triplet:
    """An object whose right quarter stands still, with a shadow that moves along."""
    flow = np.zeros((*SIZE, 2), np.float32)
    flow[(OBJECT & ~STANDING) | SHADOW] = 5
    pixels = torch.zeros((*SIZE, 3), dtype=torch.uint8)
    return Triplet("video/0", pixels, torch.from_numpy(flow), torch.from_numpy(OBJECT.astype(np.uint8)))


@pytest.mark.parametrize(
    ("mask", "moving_background", "still_object"),
    [
        (moving(frame()), 1.0, 0.0),
        (OBJECT, 0.0, 1.0),
        (OBJECT | area(20, 22, 10, 30), 0.5, 1.0),
        (np.ones(SIZE, bool), 1.0, 1.0),
    ],
)
def test_masks_follow_the_flow_or_the_object(mask: np.ndarray, moving_background: float, still_object: float) -> None:
    assert misled({"a": [frame()]}, {"a": [mask]}) == {
        "moving_background": moving_background,
        "still_object": still_object,
    }


def test_sequences_count_alike_and_one_without_a_misled_pixel_does_not_count() -> None:
    right = frame()._replace(
        flow_px=torch.from_numpy(np.where(OBJECT[..., None], 5, 0).repeat(2, -1).astype(np.float32))
    )
    samples = {"a": [frame(), frame()], "b": [frame()], "c": [right]}
    masks = {"a": [OBJECT, OBJECT], "b": [OBJECT | SHADOW], "c": [OBJECT]}
    assert misled(samples, masks) == {"moving_background": 0.5, "still_object": 1.0}
