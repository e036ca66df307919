"""Train optical flow on our pairs and on pairs of a depthstillation-style generator; writes results/flow_training.json.

    python -m benchmarks.flow_training --duts DUTS --chairs FlyingChairs --weights raft-small.pth

The same network, torchvision's RAFT-small, takes the same number of steps on pairs of the same photos, depths and
masks:

- ours: the presets `camera` and `davis`, and `davis` with several objects, by turns;
- splat: `benchmarks.splat_pairs`.

Loss, optimizer and schedule are those of RAFT (Teed & Deng, ECCV 2020): L1 of every update, each weighted 0.8 times the
next; AdamW; one cycle. The only augmentation is a random crop. The end-point error (px) is measured on pairs of
held-out photos of each kind, on pixels visible in both frames and on all pixels with known flow, and on FlyingChairs.
`before` is the network before training, `zero` a flow of zero. Without `--weights`, training starts at random.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.optical_flow import raft_small

from benchmarks.record import ROOT, environment, write
from benchmarks.splat_pairs import Pair, splat_pair
from depth import DepthEstimator
from depth.weights import EMBEDDED_MODEL
from flowsim import MotionPrior, make_clip, sample_motions, separate_layers
from flowsim.files import read_flo
from pipeline.errors import UnusablePhoto
from pipeline.photos.decoding import decode_pair
from pipeline.photos.masks import decode_mask_levels
from pipeline.photos.objects import number_objects
from segmentation.flow.raft_weights import open_raft

OURS = ("camera", "davis", "objects")
KINDS = (*OURS, "splat")
CROP = (192, 256)
MAX_SIDE = 320
_LARGEST_FLOW_PX = 400.0


@dataclass(frozen=True)
class Settings:
    """What is trained, on what, and how long."""

    duts: Path = ROOT / "examples/DUTS"
    chairs: Path | None = None
    weights: str | None = None
    photos: int = 200
    held_out: int = 16
    steps: int = 400
    batch_size: int = 2
    updates: int = 6
    scored_updates: int = 12
    learning_rate: float = 1e-4
    seeds: int = 1


class Scene(NamedTuple):
    """A photo with what both generators need."""

    name: str
    image: np.ndarray
    grey_mask: np.ndarray
    depth: np.ndarray


def load_scenes(folder: Path, count: int) -> list[Scene]:
    """Read photos of DUTS-TR that are larger than the crop, evenly over the folder, and estimate their depths."""
    root = folder / "DUTS-TR"
    files = sorted((root / "DUTS-TR-Image").glob("*.jpg"))
    order = np.random.Generator(np.random.Philox(key=0)).permutation(len(files))
    names, pairs = [], []
    for place in order:
        mask = root / "DUTS-TR-Mask" / f"{files[place].stem}.png"
        try:
            image, grey = decode_pair(files[place].read_bytes(), mask.read_bytes(), MAX_SIDE, decode=decode_mask_levels)
        except UnusablePhoto:
            continue
        if image.shape[0] >= CROP[0] and image.shape[1] >= CROP[1]:
            names.append(files[place].stem)
            pairs.append((image, grey))
        if len(pairs) == count:
            break
    depths = DepthEstimator.load(EMBEDDED_MODEL)([image for image, _ in pairs])
    return [Scene(name, *pair, depth) for name, pair, depth in zip(names, pairs, depths, strict=True)]


def draw_pair(kind: str, scene: Scene, seed: int, index: int) -> Pair:
    """Make one pair of a kind; equal arguments give equal pairs."""
    is_object = scene.grey_mask >= 128
    if kind == "splat":
        key = np.array([seed, int.from_bytes(scene.name.encode()[-6:]) * 4096 + index], np.uint64)
        return splat_pair(scene.image, scene.depth, is_object, np.random.Generator(np.random.Philox(key=key)))
    labels = number_objects(is_object.astype(np.uint8), separates_parts=kind == "objects")
    prior = MotionPrior.preset("camera" if kind == "camera" else "davis")
    motions = sample_motions(prior, seed, scene.name, index, int(labels.max()))
    photo = separate_layers(scene.image, scene.depth, labels, scene.grey_mask)
    clip = make_clip(scene.image, photo, motions)
    (field,) = clip.forward
    return Pair(scene.image, clip.images[0], field.flow, field.valid, (field.fate == 0) & field.valid, clip.window)


def scenes_by_kind(scenes: Sequence[Scene]) -> dict[str, list[Scene]]:
    """Return the scenes that each kind of pair is made of: for `objects` those with several, if there are any."""
    several = [scene for scene in scenes if number_objects((scene.grey_mask >= 128).view(np.uint8), True).max() > 1]
    return {kind: several if kind == "objects" and several else list(scenes) for kind in KINDS}


def crop(pair: Pair, random: np.random.Generator) -> Pair:
    """Cut a random part of the size `CROP`, within the pair's window where the window is large enough."""
    part = []
    for size, length, inside in zip(CROP, pair.valid.shape, pair.window, strict=True):
        first, last = inside.start, inside.stop - size
        start = int(random.integers(first, last + 1)) if last >= first else (first + last) // 2
        start = min(max(start, 0), length - size)
        part.append(slice(start, start + size))
    rows, columns = part
    return Pair(*(values[rows, columns] for values in pair[:5]), pair.window)


def batches(
    kinds: Sequence[str], scenes: Mapping[str, Sequence[Scene]], settings: Settings, seed: int
) -> Iterator[Any]:
    """Yield first frames, second frames, flow and validity for every step; kinds take turns."""
    random = np.random.Generator(np.random.Philox(key=np.array([seed, 7], np.uint64)))
    number = 0
    for _ in range(settings.steps):
        pairs = []
        for _ in range(settings.batch_size):
            kind = kinds[number % len(kinds)]
            scene = scenes[kind][int(random.integers(len(scenes[kind])))]
            pairs.append(crop(draw_pair(kind, scene, seed, number % 4096), random))
            number += 1
        yield (
            as_input(np.stack([pair.first for pair in pairs])),
            as_input(np.stack([pair.second for pair in pairs])),
            torch.from_numpy(np.stack([pair.flow for pair in pairs])).permute(0, 3, 1, 2),
            torch.from_numpy(np.stack([pair.valid for pair in pairs])),
        )


def as_input(frames: np.ndarray) -> Tensor:
    """Return frames (b,h,w,3) uint8 as RAFT takes them: (b,3,h,w) float32 in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 127.5 - 1


def new_network(settings: Settings, seed: int) -> nn.Module:
    """Return RAFT-small with the weights to start from."""
    if settings.weights is not None:
        return open_raft(settings.weights, "raft-small").network.requires_grad_(True)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network: nn.Module = raft_small(weights=None)
    return network


def train(network: nn.Module, data: Iterator[Any], settings: Settings, device: str) -> float:
    """Train on every batch; return the seconds of a step, pairs included (median)."""
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=1e-5)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.steps + 1, pct_start=0.05, anneal_strategy="linear"
    )
    seconds, start = [], time.perf_counter()
    for first, second, flow, valid in data:
        flow, known = flow.to(device), (valid & (flow.norm(dim=1) < _LARGEST_FLOW_PX)).to(device)
        estimates = network(first.to(device), second.to(device), num_flow_updates=settings.updates)
        losses = [((estimate - flow).abs().mean(1) * known).mean() for estimate in estimates]
        loss = torch.stack([0.8 ** (len(losses) - 1 - place) * part for place, part in enumerate(losses)]).sum()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
    return statistics.median(seconds)


def chairs_pairs(folder: Path) -> list[Pair]:
    """Read the pairs of FlyingChairs, whose hidden pixels are not known."""
    pairs = []
    for path in sorted(folder.glob("*-gt.flo")):
        frames = [
            cv2.cvtColor(cv2.imread(str(path.with_name(path.name.replace("gt.flo", f"img{number}.png")))), 4)
            for number in (0, 1)
        ]
        field = read_flo(path)
        pairs.append(Pair(*frames, field.flow, field.valid, field.valid, (slice(None), slice(None))))
    return pairs


@torch.no_grad()
def score(network: nn.Module | None, pairs: Sequence[Pair], settings: Settings, device: str) -> dict[str, float]:
    """Return the mean over pairs of the mean end-point error in px; None as network estimates zero."""
    errors: dict[str, list[float]] = {"visible": [], "all": []}
    for pair in pairs:
        estimate = np.zeros_like(pair.flow)
        if network is not None:
            height, width = pair.valid.shape
            margins = (0, -width % 8, 0, -height % 8)
            frames = (F.pad(as_input(frame[None]), margins, mode="replicate") for frame in (pair.first, pair.second))
            found = network.eval()(*(frame.to(device) for frame in frames), num_flow_updates=settings.scored_updates)
            estimate = found[-1][0, :, :height, :width].permute(1, 2, 0).cpu().numpy()
        error = np.linalg.norm(estimate - pair.flow, axis=-1)
        errors["visible"].append(float(error[pair.visible].mean()))
        errors["all"].append(float(error[pair.valid].mean()))
    return {name: statistics.fmean(values) for name, values in errors.items()}


def measure(settings: Settings) -> dict[str, Any]:
    """Train both networks for every seed and score them."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    scenes = load_scenes(settings.duts, settings.photos + settings.held_out)
    trained_on, held_out = scenes_by_kind(scenes[settings.held_out :]), scenes[: settings.held_out]
    tests = {
        kind: [draw_pair(kind, some[index % len(some)], 1_000_003, index) for index in range(len(held_out))]
        for kind, some in scenes_by_kind(held_out).items()
    }
    if settings.chairs is not None:
        tests["chairs"] = chairs_pairs(settings.chairs)

    def scores(network: nn.Module | None) -> dict[str, dict[str, float]]:
        return {kind: score(network, pairs, settings, device) for kind, pairs in tests.items()}

    epe: dict[str, list[Any]] = {"zero": [scores(None)], "before": [], "ours": [], "splat": []}
    seconds: dict[str, list[float]] = {"ours": [], "splat": []}
    for seed in range(settings.seeds):
        if settings.weights is None or seed == 0:
            epe["before"].append(scores(new_network(settings, seed).to(device)))
        for side, kinds in (("ours", OURS), ("splat", ("splat",))):
            network = new_network(settings, seed).to(device)
            seconds[side].append(train(network, batches(kinds, trained_on, settings, seed), settings, device))
            epe[side].append(scores(network))
    return {
        "settings": {**asdict(settings), "duts": settings.duts.name, "chairs": None, "weights": None}
        | {name: Path(value).name for name in ("chairs", "weights") if (value := getattr(settings, name))},
        "photos": {"trained_on": len(scenes) - len(held_out), "held_out": len(held_out)},
        "pairs_scored": {kind: len(pairs) for kind, pairs in tests.items()},
        "mean_flow_px": {
            kind: statistics.fmean(float(np.linalg.norm(pair.flow[pair.valid], axis=-1).mean()) for pair in pairs)
            for kind, pairs in tests.items()
        },
        "seconds_per_step": seconds,
        "threads": torch.get_num_threads(),
        "load_average": os.getloadavg()[0],
        "epe_px": epe,
    }


def main() -> None:
    """Train, score, print, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in asdict(Settings()).items():
        kind = Path if name in ("duts", "chairs") else str if name == "weights" else type(value)
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=value)
    parser.add_argument("--quick", action="store_true", help="print the figures without writing")
    arguments = vars(parser.parse_args())
    is_quick = arguments.pop("quick")
    start = time.perf_counter()
    settings = Settings(**arguments)
    figures = measure(settings) | {"minutes": (time.perf_counter() - start) / 60}
    rounded = json.loads(json.dumps(figures), parse_float=lambda digits: float(f"{float(digits):.4g}"))
    print(json.dumps({"environment": environment(), **rounded}, indent=2))
    if not is_quick:
        write("flow_training" if settings.weights else "flow_training_scratch", rounded)


if __name__ == "__main__":
    main()
