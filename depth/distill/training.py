"""Training of a student: loss, stages of growing resolution, evaluation on held-out photos, and resuming."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from depth.distill.agreement import is_object_nearer, spearman
from depth.distill.examples import DistillationSet, Example, input_shape, read_map, read_photo
from depth.distill.targets import LIFT_MARGIN, normalize_inverse_depth
from depth.distill.whole_files import save_whole
from depth.tiny import TinyDPT

SIDE_STEP = 32
WARM_UP = 0.03
LAST_RATE = 0.01
AVERAGING = 0.998
WEIGHT_DECAY = 0.05


@dataclass(frozen=True)
class Recipe:
    """Settings of the training of a student.

    Attributes:
        stages: (smallest shorter side, largest shorter side, epochs) of each stage, sides of the input in pixels.
        encoder, width: arguments of `TinyDPT`.
        meaning: meaning of the teacher's maps, see `normalize_inverse_depth`.
        batch: photos per step.
        learning_rate: peak learning rate, after a linear warm-up and before a cosine decay over all stages.
        loaders: number of processes that read photos.
        seed: seed of all random draws.
        start_from: folder of a student whose weights replace random ones at the start.
    """

    stages: tuple[tuple[int, int, int], ...] = ((96, 96, 5), (128, 128, 2), (160, 256, 2))
    encoder: str = "regnety_004"
    width: int = 48
    meaning: str = "inverse-depth"
    batch: int = 16
    learning_rate: float = 1.5e-3
    loaders: int = 1
    seed: int = 0
    start_from: Path | None = None


def distillation_loss(
    predicted: Float[Tensor, "b h w"], target: Float[Tensor, "b h w"], mask: Float[Tensor, "b h w"]
) -> Float[Tensor, ""]:
    """Return the loss of predicted inverse depth against its target in [0, 1].

    It is the sum of L1, (1 - Pearson correlation) per image, L1 of the gradients at two scales as in MiDaS (Ranftl et
    al., 2020, eq. 11), and a hinge on the amount by which the object's mean exceeds the mean of the rest.
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
    hinge = (F.relu(LIFT_MARGIN - nearer) * (inside > 8)).mean()
    loss: Tensor = level + (1 - correlation).mean() + gradient + hinge
    return loss


@torch.inference_mode()
def evaluate(model: TinyDPT, held_out: list[Example], side: int, meaning: str) -> dict[str, float]:
    """Return the median Spearman correlation with the teacher, and the fraction of photos whose object is nearer.

    Each photo enters the network with its own aspect ratio, and the output is compared at the teacher's resolution.
    """
    correlations, nearer = [], []
    for example in held_out:
        height, width = input_shape(example.height / example.width, side)
        resized = cv2.resize(read_photo(example.photo), (width, height), interpolation=cv2.INTER_AREA)
        pixels = torch.from_numpy(resized.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
        predicted = model(pixels)[0].numpy()
        teacher = normalize_inverse_depth(read_map(example.teacher), meaning)
        correlations.append(spearman(cv2.resize(predicted, teacher.shape[::-1]), teacher))
        if example.mask is not None:
            mask = cv2.resize(read_map(example.mask), predicted.shape[::-1], interpolation=cv2.INTER_AREA) > 127
            if mask.any() and not mask.all():
                nearer.append(is_object_nearer(predicted, mask))
    scores = {"photos": float(len(held_out)), "median_spearman": float(np.nanmedian(correlations))}
    return scores | ({"object_nearer": float(np.mean(nearer))} if nearer else {})


class Averaged:
    """Exponential moving average of a network's weights; the rest of its state is copied."""

    def __init__(self, model: TinyDPT) -> None:
        self.model = TinyDPT(model.encoder_name, model.width).to(memory_format=torch.channels_last).eval()
        self.model.load_state_dict(model.state_dict())
        self.updates = 0

    @torch.no_grad()
    def update(self, model: TinyDPT) -> None:
        """Move the average a step towards `model`; the first steps are larger."""
        self.updates += 1
        decay = min(AVERAGING, (1 + self.updates) / (10 + self.updates))
        for mean, value in zip(self.model.state_dict().values(), model.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)


class Training:
    """The training of a student; `run` may be stopped, and continues when it is called again."""

    def __init__(self, recipe: Recipe, examples: list[Example], held_out: list[Example], output: Path) -> None:
        self.recipe, self.held_out, self.output = recipe, held_out, output
        self.schedule = [
            tuple(range(smallest, largest + 1, SIDE_STEP))
            for smallest, largest, epochs in recipe.stages
            for _ in range(epochs)
        ]
        self.sets = {
            sides: DistillationSet(examples, sides, recipe.meaning, recipe.seed)
            for sides in dict.fromkeys(self.schedule)
        }
        self.work = [len(self.sets[sides]) * sides[0] ** 2 for sides in self.schedule]
        torch.manual_seed(recipe.seed)
        first = TinyDPT.load(recipe.start_from) if recipe.start_from else TinyDPT(recipe.encoder, recipe.width)
        self.model = first.to(memory_format=torch.channels_last)
        self.averaged = Averaged(self.model)
        kernels = [p for p in self.model.parameters() if p.ndim > 1]
        others = [p for p in self.model.parameters() if p.ndim <= 1]
        groups = [{"params": kernels, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
        self.state_path = output / "training.pt"
        self.epoch = self._resume()

    def run(self) -> None:
        """Train all epochs; after each, write the averaged model, `training.pt` and a line of `log.jsonl`."""
        self.output.mkdir(parents=True, exist_ok=True)
        while self.epoch < len(self.schedule):
            sides, started = self.schedule[self.epoch], time.monotonic()
            side = sides[-1]
            row: dict[str, Any] = {"epoch": self.epoch + 1, "side": side, "loss": self._train_epoch(self.sets[sides])}
            row["seconds"] = round(time.monotonic() - started)
            if self.held_out:
                row |= evaluate(self.averaged.model, self.held_out, side, self.recipe.meaning)
            print("\r" + json.dumps(row), flush=True)
            with (self.output / "log.jsonl").open("a") as log:
                log.write(json.dumps(row) + "\n")
            self.epoch += 1
            self.averaged.model.save(self.output, short_side=side)
            self._save_state()

    def _train_epoch(self, dataset: DistillationSet) -> float:
        dataset.epoch = self.epoch
        batches = dataset.batches(self.recipe.batch)
        loader = DataLoader(dataset, batch_sampler=batches, num_workers=self.recipe.loaders)
        self.model.train()
        losses: list[float] = []
        started = time.monotonic()
        for done, (photo, target, mask) in enumerate(loader):
            self._set_rate(
                (sum(self.work[: self.epoch]) + self.work[self.epoch] * done / len(batches)) / sum(self.work)
            )
            loss = distillation_loss(self.model(photo.contiguous(memory_format=torch.channels_last)), target, mask)
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.averaged.update(self.model)
            losses.append(loss.item())
            if done % 20 == 19:
                speed = (done + 1) * self.recipe.batch / (time.monotonic() - started)
                recent = np.mean(losses[-100:])
                line = f"epoch {self.epoch + 1}/{len(self.schedule)}, step {done + 1}/{len(batches)}"
                print(f"\r{line}, {dataset.sides[-1]} px, loss {recent:.4f}, {speed:.0f} photos/s ", end="", flush=True)
        return float(np.mean(losses))

    def _set_rate(self, progress: float) -> None:
        decay = LAST_RATE + (1 - LAST_RATE) * math.cos(math.pi / 2 * progress) ** 2
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * min(1.0, progress / WARM_UP + 0.01) * decay

    def _save_state(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "averaged": self.averaged.model.state_dict(),
            "updates": self.averaged.updates,
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
        }
        save_whole(self.state_path, lambda partial: torch.save(state, partial))

    def _resume(self) -> int:
        """Load the state of an earlier run, if any; return the number of finished epochs."""
        if not self.state_path.exists():
            return 0
        state = torch.load(self.state_path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.averaged.model.load_state_dict(state["averaged"])
        self.averaged.updates = state["updates"]
        self.optimizer.load_state_dict(state["optimizer"])
        return int(state["epoch"])
