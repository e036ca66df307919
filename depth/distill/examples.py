"""Photos with teacher depth and masks: search on disk, and batches of one shape."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from depth.distill.targets import lift_object, normalize_inverse_depth
from depth.errors import DepthError

ASPECTS = (0.75, 1.0, 4 / 3)
"""Aspect ratios (height / width) that photos are resized to; a batch has one of them."""
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
SMALLEST_CROP = 0.75
BRIGHTNESS, TINT = (0.7, 1.3), (0.9, 1.1)


@dataclass(frozen=True)
class Example:
    """A photo with its teacher depth and, if there is one, its mask."""

    photo: Path
    teacher: Path
    mask: Path | None
    height: int
    width: int

    @property
    def aspect(self) -> float:
        """Return the member of `ASPECTS` that is nearest to the photo's aspect ratio."""
        return min(ASPECTS, key=lambda a: abs(math.log(a * self.width / self.height)))


def photos_in(folder: Path) -> list[Path]:
    """Return the photos of a folder in the order of their names.

    Raises:
        DepthError: the folder is absent or has no photo.
    """
    inside = folder.iterdir() if folder.is_dir() else ()
    photos = sorted(p for p in inside if p.suffix.lower() in PHOTO_SUFFIXES and p.is_file())
    if not photos:
        raise DepthError(f"{folder}: found no photos; expected files such as name.jpg.")
    return photos


def find_examples(photos: Path, teacher: Path, masks: Path | None) -> list[Example]:
    """Pair the photos of a folder with teacher depth and masks of the same stem.

    Raises:
        DepthError: no photo has a teacher depth.
    """
    examples = []
    for photo in photos_in(photos):
        depth_path = teacher / f"{photo.stem}.png"
        mask_path = masks / f"{photo.stem}.png" if masks else None
        if depth_path.exists():
            with Image.open(photo) as header:
                width, height = header.size
            has_mask = mask_path is not None and mask_path.exists()
            examples.append(Example(photo, depth_path, mask_path if has_mask else None, height, width))
    if not examples:
        raise DepthError(f"{photos}: no photo has a teacher depth <stem>.png in {teacher}.")
    return examples


def hold_out(examples: list[Example], photos: int) -> list[Example]:
    """Return a number of evenly spread examples for evaluation."""
    step = max(1, len(examples) // photos) if photos else len(examples)
    return examples[::step][:photos]


class DistillationSet(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Photos and lifted targets at one resolution or several, augmented by crop, flip and brightness.

    Args:
        examples: photos to learn from; those smaller than two thirds of the smallest side are left out.
        sides: shorter sides of the network's input, in pixels. Every epoch draws one of them for each photo, at most
            3/2 of the photo's own shorter side.
        meaning: meaning of the teacher's maps, see `normalize_inverse_depth`.
        seed: seed of the augmentation and the order, which differ from epoch to epoch.
    """

    def __init__(self, examples: list[Example], sides: tuple[int, ...], meaning: str, seed: int) -> None:
        self.examples = [e for e in examples if _fits(e, min(sides))]
        self.sides, self.meaning, self.seed, self.epoch = sides, meaning, seed, 0

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, place: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Return photo (3, h, w) in [-1, 1], target (h/2, w/2) in [0, 1], mask (h/2, w/2) in [0, 1].

        Args:
            place: index of the example and shorter side of the input, from `batches`.
        """
        index, side = place
        example = self.examples[index]
        rng = np.random.default_rng((self.seed, self.epoch, index))
        height, width = input_shape(example.aspect, side)
        scale = rng.uniform(SMALLEST_CROP, 1.0)
        corner = rng.uniform(0, 1 - scale, 2)
        photo = cv2.resize(
            _crop(read_photo(example.photo), corner, scale), (width, height), interpolation=cv2.INTER_AREA
        )
        half = (width // 2, height // 2)
        target = normalize_inverse_depth(read_map(example.teacher), self.meaning)
        target = cv2.resize(_crop(target, corner, scale), half, interpolation=cv2.INTER_LINEAR)
        mask = np.zeros_like(target)
        if example.mask is not None:
            mask = cv2.resize(_crop(read_map(example.mask) / 255, corner, scale), half, interpolation=cv2.INTER_AREA)
        target = lift_object(target, mask)
        if rng.random() < 0.5:
            photo, target, mask = photo[:, ::-1], target[:, ::-1], mask[:, ::-1]
        gain = rng.uniform(*BRIGHTNESS) * rng.uniform(*TINT, 3)
        pixels = np.clip(photo * gain.astype(np.float32), 0, 255) / 127.5 - 1
        return _tensor(pixels.transpose(2, 0, 1)), _tensor(target), _tensor(mask)

    def batches(self, size: int) -> list[list[tuple[int, int]]]:
        """Return this epoch's batches of (index, side) in random order; a batch has one aspect ratio and side."""
        rng = np.random.default_rng((self.seed, self.epoch))
        by_shape: dict[tuple[float, int], list[tuple[int, int]]] = {}
        for index in rng.permutation(len(self.examples)).tolist():
            example = self.examples[index]
            side = int(rng.choice([side for side in self.sides if _fits(example, side)]))
            by_shape.setdefault((example.aspect, side), []).append((index, side))
        batches = [places[i : i + size] for places in by_shape.values() for i in range(0, len(places), size)]
        return [batches[i] for i in rng.permutation(len(batches)) if len(batches[i]) > 1]


def _fits(example: Example, side: int) -> bool:
    return min(example.height, example.width) >= side * 2 / 3


def input_shape(aspect: float, side: int) -> tuple[int, int]:
    """Return height and width, multiples of 32, with `side` as the shorter one and a ratio near `aspect`."""
    longer = round(side * max(aspect, 1 / aspect) / 32) * 32
    return (side, longer) if aspect <= 1 else (longer, side)


def read_photo(path: Path) -> NDArray[np.uint8]:
    """Read a photo as (h, w, 3) uint8 RGB.

    Raises:
        DepthError: the file cannot be decoded.
    """
    photo = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if photo is None:
        raise DepthError(f"{path}: cannot be decoded as a photo; repair or remove it.")
    checked: NDArray[np.uint8] = photo.astype(np.uint8, copy=False)
    return checked


def read_map(path: Path) -> NDArray[np.float32]:
    """Read the first channel of a depth map or mask of 8 or 16 bits as (h, w) float32.

    Raises:
        DepthError: the file cannot be decoded.
    """
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise DepthError(f"{path}: cannot be decoded as a depth map or mask; repair or remove it.")
    plane: NDArray[np.float32] = (pixels if pixels.ndim == 2 else pixels[..., 0]).astype(np.float32)
    return plane


def _crop(image: NDArray[Any], corner: NDArray[np.floating], scale: float) -> NDArray[Any]:
    height, width = image.shape[:2]
    top, left = (corner * (height, width)).astype(int)
    return image[top : top + max(2, round(scale * height)), left : left + max(2, round(scale * width))]


def _tensor(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))
