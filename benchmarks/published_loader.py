"""The rival of our loader: loading of samples as in the published training code.

A sample is a JPEG image, a JPEG of the flow's colours and a PNG mask. All three are decoded by Pillow, resized to
512x512 by bicubic interpolation, flipped and turned into tensors, the mask into 64-bit labels. torch's default
collation joins samples.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import functional

from flowsim import flow_to_rgb
from segmentation.data.photo_samples import Triplet

SIDE_PX = 512
FOLDERS = (("JPEGImages", "jpg"), ("JPEGFlows", "jpg"), ("Annotations", "png"))


def write_tree(samples: Iterable[Triplet], root: Path) -> list[str]:
    """Write the tree that the published code reads, and return the names of the samples."""
    for folder, _ in FOLDERS:
        (root / folder).mkdir(parents=True)
    names = []
    for sample in samples:
        pixels = (sample.image.numpy(), flow_to_rgb(sample.flow_px).numpy(), sample.mask.numpy() * np.uint8(255))
        for (folder, ending), picture in zip(FOLDERS, pixels, strict=True):
            options = {"quality": 95} if ending == "jpg" else {}
            Image.fromarray(picture).save(root / folder / f"{sample.id}.{ending}", **options)
        names.append(sample.id)
    return names


def load_sample(root: Path, name: str, generator: random.Random) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Load image and flow (3,512,512) float32 in [0, 1], and mask (1,512,512) int64."""
    pictures = [
        Image.open(root / folder / f"{name}.{ending}").convert(mode)
        for (folder, ending), mode in zip(FOLDERS, ("RGB", "RGB", "L"), strict=True)
    ]
    pictures = [picture.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC) for picture in pictures]
    for flip in (functional.hflip, functional.vflip):
        if generator.random() > 0.5:
            pictures = [flip(picture) for picture in pictures]
    image, flow_rgb, mask = (functional.to_tensor(picture) for picture in pictures)
    return image, flow_rgb, (mask > 0.5).long()
