"""Distil a depth network into a small one: `python -m depth.distill --help`.

The student (`depth.tiny.TinyDPT`) learns from photos with a teacher's depth, read from a folder or computed by any model
that `DepthEstimator` loads. Masks, where there are any, lift and sharpen the salient object (`depth.targets`). Training
runs through stages of growing resolution; the same command continues after a stop.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from depth.agreement import is_object_nearer, spearman
from depth.targets import lift_object, normalize_inverse_depth
from depth.tiny import TinyDPT

STAGES = ((96, 8), (128, 4), (224, 2))
"""(shorter side in pixels, epochs): cheap epochs first. A photo smaller than two thirds of the side sits a stage out."""
ASPECTS = (0.75, 1.0, 4 / 3)
"""Height / width of the shapes that photos are resized to; each batch has one of them."""
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True)
class Example:
    """One photo with its teacher depth and, perhaps, its mask."""

    photo: Path
    teacher: Path
    mask: Path | None
    height: int
    width: int

    @property
    def aspect(self) -> float:
        """Return the nearest of `ASPECTS`."""
        return min(ASPECTS, key=lambda a: abs(math.log(a * self.width / self.height)))


def find_examples(photos: Path, teacher: Path, masks: Path | None) -> list[Example]:
    """Pair the photos of a folder with teacher depth and masks of the same stem, sorted by stem.

    Raises:
        SystemExit: no photo has a teacher depth.
    """
    from PIL import Image

    examples = []
    for photo in sorted(p for p in photos.iterdir() if p.suffix.lower() in PHOTO_SUFFIXES):
        depth_path = teacher / f"{photo.stem}.png"
        mask_path = masks / f"{photo.stem}.png" if masks else None
        if depth_path.exists():
            with Image.open(photo) as header:
                width, height = header.size
            has_mask = mask_path is not None and mask_path.exists()
            examples.append(Example(photo, depth_path, mask_path if has_mask else None, height, width))
    if not examples:
        raise SystemExit(f"{photos}: no photo has a teacher depth <stem>.png in {teacher}.")
    return examples


class DistillationSet(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Photos and lifted targets at one resolution, augmented by crop, flip and brightness."""

    def __init__(self, examples: list[Example], side: int, meaning: str, seed: int) -> None:
        self.examples = [e for e in examples if min(e.height, e.width) >= side * 2 / 3]
        self.side, self.meaning, self.seed, self.epoch = side, meaning, seed, 0

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return photo (3, h, w) in [-1, 1], target (h/2, w/2) in [0, 1], mask (h/2, w/2) in [0, 1]."""
        example = self.examples[index]
        rng = np.random.default_rng((self.seed, self.epoch, index))
        height, width = network_shape(example.aspect, self.side)
        photo = cv2.imread(str(example.photo), cv2.IMREAD_COLOR_RGB)
        target = normalize_inverse_depth(_read_map(example.teacher), self.meaning)
        mask = np.zeros(photo.shape[:2], np.float32)
        if example.mask is not None:
            mask = cv2.imread(str(example.mask), cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255
        scale = rng.uniform(0.75, 1.0)
        corner = rng.uniform(0, 1 - scale, 2)
        photo, target, mask = (_crop(x, corner, scale) for x in (photo, target, mask))
        photo = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)
        mask = cv2.resize(mask, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        target = lift_object(cv2.resize(target, (width // 2, height // 2), interpolation=cv2.INTER_LINEAR), mask)
        if rng.random() < 0.5:
            photo, target, mask = photo[:, ::-1], target[:, ::-1], mask[:, ::-1]
        gain = rng.uniform(0.7, 1.3) * rng.uniform(0.9, 1.1, 3)
        pixels = np.clip(photo * gain.astype(np.float32), 0, 255) / 127.5 - 1
        return (
            torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32)),
            torch.from_numpy(np.ascontiguousarray(target)),
            torch.from_numpy(np.ascontiguousarray(mask)),
        )

    def batches(self, size: int) -> list[list[int]]:
        """Return this epoch's batches of indices in random order, each of one aspect."""
        rng = np.random.default_rng((self.seed, self.epoch))
        batches = []
        for aspect in ASPECTS:
            indices = rng.permutation([i for i, e in enumerate(self.examples) if e.aspect == aspect])
            batches += [indices[i : i + size].tolist() for i in range(0, len(indices) - size // 2, size)]
        return [batches[i] for i in rng.permutation(len(batches))]


def network_shape(aspect: float, side: int) -> tuple[int, int]:
    """Return height and width, multiples of 32, whose shorter one is `side` and whose ratio is near `aspect`."""
    longer = round(side * max(aspect, 1 / aspect) / 32) * 32
    return (side, longer) if aspect <= 1 else (longer, side)


def distillation_loss(predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Compare inverse depth (b, h, w) with its target.

    L1 + (1 - Pearson correlation per image) + L1 of the gradients at two scales, as in MiDaS (Ranftl et al., 2020,
    eq. 11), + a hinge on how far the object's mean exceeds the mean of the rest.
    """
    level = F.l1_loss(predicted, target)
    p = predicted.flatten(1) - predicted.flatten(1).mean(1, keepdim=True)
    t = target.flatten(1) - target.flatten(1).mean(1, keepdim=True)
    correlation = (p * t).sum(1) / (p.norm(dim=1) * t.norm(dim=1) + 1e-6)
    gradient = predicted.new_zeros(())
    difference = (predicted - target)[:, None]
    for _ in range(2):
        gradient = gradient + difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()
        difference = F.avg_pool2d(difference, 2)
    inside, outside = mask.sum((1, 2)), (1 - mask).sum((1, 2))
    nearer = (predicted * mask).sum((1, 2)) / (inside + 1) - (predicted * (1 - mask)).sum((1, 2)) / (outside + 1)
    hinge = (F.relu(0.15 - nearer) * (inside > 8)).mean()
    return level + 0.5 * (1 - correlation).mean() + gradient + hinge


@torch.inference_mode()
def evaluate(model: TinyDPT, held_out: list[Example], side: int, meaning: str) -> dict[str, float]:
    """Return the median Spearman correlation with the teacher, and how often the object is nearer than the rest.

    Each photo goes through the network at the aspect's shape; its output is compared at the teacher's resolution.
    """
    correlations, nearer = [], []
    for example in held_out:
        photo = cv2.imread(str(example.photo), cv2.IMREAD_COLOR_RGB)
        height, width = network_shape(example.height / example.width, side)
        resized = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)
        pixels = torch.from_numpy(resized.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
        predicted = model(pixels)[0].numpy()
        teacher = normalize_inverse_depth(_read_map(example.teacher), meaning)
        correlations.append(spearman(cv2.resize(predicted, teacher.shape[::-1]), teacher))
        if example.mask is not None:
            mask = cv2.imread(str(example.mask), cv2.IMREAD_GRAYSCALE)
            inside = cv2.resize(mask, predicted.shape[::-1], interpolation=cv2.INTER_AREA) > 127
            if inside.any() and not inside.all():
                nearer.append(is_object_nearer(predicted, inside))
    scores = {"photos": float(len(held_out)), "median_spearman": float(np.nanmedian(correlations))}
    if nearer:
        scores["object_nearer"] = float(np.mean(nearer))
    return scores


class Averaged:
    """Exponential moving average of a network's weights; buffers are copied."""

    def __init__(self, model: TinyDPT, decay: float = 0.998) -> None:
        self.model = TinyDPT(**model.config).eval()
        self.model.load_state_dict(model.state_dict())
        self.decay, self.updates = decay, 0

    @torch.no_grad()
    def update(self, model: TinyDPT) -> None:
        """Move a step towards `model`; quickly at first."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for mean, value in zip(self.model.state_dict().values(), model.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)


def train(arguments: argparse.Namespace) -> None:
    """Run all stages; write the averaged model, `training.pt` and one line of `log.jsonl` after each epoch."""
    torch.manual_seed(arguments.seed)
    output: Path = arguments.output
    output.mkdir(parents=True, exist_ok=True)
    sources = list(_sources(arguments))
    step = max(1, len(sources[0]) // arguments.hold_out) if arguments.hold_out else 0
    held_out = sources[0][::step][: arguments.hold_out] if step else []
    kept = {e.photo for e in held_out}
    examples = [e for source in sources for e in source if e.photo not in kept]
    stages = [(int(side), int(epochs)) for side, epochs in (s.split("x") for s in arguments.stages.split(","))]
    schedule = [side for side, epochs in stages for _ in range(epochs)]
    sets = {
        side: DistillationSet(examples, side, arguments.teacher_meaning, arguments.seed) for side in dict.fromkeys(schedule)
    }
    cost = [len(sets[side]) * side**2 for side in schedule]

    model = TinyDPT(arguments.encoder, arguments.width).to(memory_format=torch.channels_last)
    averaged = Averaged(model)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    other = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": other, "weight_decay": 0.0}], lr=arguments.learning_rate
    )
    first_epoch = 0
    state_path = output / "training.pt"
    if state_path.exists():
        state = torch.load(state_path, weights_only=True)
        model.load_state_dict(state["model"])
        averaged.model.load_state_dict(state["averaged"])
        averaged.updates = state["updates"]
        optimizer.load_state_dict(state["optimizer"])
        first_epoch = state["epoch"]
    print(f"{len(examples)} photos to learn from, {len(held_out)} held out; {len(schedule)} epochs", flush=True)

    for epoch in range(first_epoch, len(schedule)):
        side, started, losses = schedule[epoch], time.monotonic(), []
        dataset = sets[side]
        dataset.epoch = epoch
        batches = dataset.batches(arguments.batch)
        loader = DataLoader(dataset, batch_sampler=batches, num_workers=arguments.loaders, prefetch_factor=4)
        model.train()
        for done, (photo, target, mask) in enumerate(loader):
            progress = (sum(cost[:epoch]) + cost[epoch] * done / len(batches)) / sum(cost)
            rate = arguments.learning_rate * min(1.0, progress / 0.03 + 0.01) * (0.01 + 0.99 * math.cos(math.pi / 2 * progress) ** 2)
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss = distillation_loss(model(photo.contiguous(memory_format=torch.channels_last)), target, mask)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            averaged.update(model)
            losses.append(loss.item())
            if sys.stdout.isatty() or done % 100 == 99:
                speed = (done + 1) * arguments.batch / (time.monotonic() - started)
                print(f"\repoch {epoch + 1} side {side} {done + 1}/{len(batches)} loss {np.mean(losses[-100:]):.4f} {speed:.0f} photos/s", end="\n" if not sys.stdout.isatty() else "", flush=True)
        row: dict[str, Any] = {"epoch": epoch + 1, "side": side, "loss": float(np.mean(losses)), "seconds": time.monotonic() - started}
        if held_out:
            row |= evaluate(averaged.model, held_out, side, arguments.teacher_meaning)
        with (output / "log.jsonl").open("a") as log:
            log.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)
        averaged.model.save(output)
        state = {
            "model": model.state_dict(),
            "averaged": averaged.model.state_dict(),
            "updates": averaged.updates,
            "optimizer": optimizer.state_dict(),
            "epoch": epoch + 1,
        }
        torch.save(state, state_path.with_suffix(".partial"))
        state_path.with_suffix(".partial").replace(state_path)


def _sources(arguments: argparse.Namespace) -> Iterator[list[Example]]:
    masks = arguments.masks or [None] * len(arguments.photos)
    if not len(arguments.photos) == len(arguments.teacher_depth) == len(masks):
        raise SystemExit("Give --teacher-depth (and --masks, if any) once for each --photos, in the same order.")
    for photos, teacher, mask in zip(arguments.photos, arguments.teacher_depth, masks, strict=True):
        yield find_examples(photos, teacher, mask)


def _read_map(path: Path) -> NDArray[np.float32]:
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return (pixels if pixels.ndim == 2 else pixels[..., 0]).astype(np.float32)


def _crop(image: NDArray[Any], corner: NDArray[np.floating], scale: float) -> NDArray[Any]:
    height, width = image.shape[:2]
    top, left = (corner * (height, width)).astype(int)
    return image[top : top + max(2, round(scale * height)), left : left + max(2, round(scale * width))]


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m depth.distill", description="Distil a depth network into a small one.")
    parser.add_argument("--photos", type=Path, action="append", required=True, help="folder of photos; may be repeated")
    parser.add_argument("--masks", type=Path, action="append", help="folder of masks <stem>.png, once for each --photos")
    parser.add_argument("--teacher-depth", type=Path, action="append", required=True, help="folder of depth maps <stem>.png")
    parser.add_argument("--teacher-meaning", choices=("depth", "inverse-depth"), default="inverse-depth")
    parser.add_argument("--output", type=Path, required=True, help="folder for the student")
    parser.add_argument("--stages", default=",".join(f"{s}x{e}" for s, e in STAGES), help="SIDExEPOCHS,... (default %(default)s)")
    parser.add_argument("--hold-out", type=int, default=300, help="photos of the first folder kept for evaluation")
    parser.add_argument("--encoder", default="regnety_004", help="timm backbone (default %(default)s)")
    parser.add_argument("--width", type=int, default=48)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    parser.add_argument("--loaders", type=int, default=1, help="processes that read photos")
    parser.add_argument("--seed", type=int, default=0)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
