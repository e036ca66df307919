"""Comparison of training data: networks of one size, trained equally long, are scored on DAVIS-2016 val.

    python -m benchmarks.ablation --duts DUTS --davis DAVIS --flows davis-flows.zarr --work FOLDER

All arms of the comparison see the same number of samples. In arms with photos, three of four samples are photos, as
published. The last weights are scored, so that nothing is chosen on the scored sequences. Scores are taken at the
picture size of the training and at a larger one; at the larger size, networks that have learnt more than to recall
their training frames gain (compare Touvron et al., Fixing the train-test resolution discrepancy, NeurIPS 2019). The
report also says how well a threshold on the flow finds the object in the training samples of each arm, which shows
whether their motion can teach that the object is what moves on its own.

Datasets and runs that exist in FOLDER are not made again. `--jobs` trains several networks at the same time, each on
its own cores; small networks leave most of a GPU idle.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from statistics import mean
from typing import Any, Literal

import matplotlib
import numpy as np
import torch

from benchmarks.baselines import moving, score_baselines
from benchmarks.record import RESULTS, write
from pipeline.command.progress import ProgressLine
from pipeline.engine.placement import local_share
from pipeline.files.whole_files import write_whole
from pipeline.making.config import RunConfig
from pipeline.making.run import run
from segmentation.data.photo_samples import ShardDataset
from segmentation.network.checkpoint import load_network
from segmentation.network.model import TwoStreamNetwork
from segmentation.network.network_files import LAST
from segmentation.scoring.metrics import score_frames
from segmentation.training.data_split import ValidationData, open_data
from segmentation.training.folder import read_metrics
from segmentation.training.run import train
from segmentation.training.settings import TrainingSettings
from segmentation.training.validation import score_samples, summarize

Flow = Literal["stored", "fresh", "zero"]
JUDGED_BY = "davis16-val"
SEEN_IN_MOTION = 400
"""Number of samples for measuring how well motion alone shows the object."""
LAST_LOSSES = 10
"""Number of last records of the training loss that are averaged, because single batches vary."""


@dataclass(frozen=True)
class Arm:
    """An arm of the comparison: its training data beside videos, either photos with the flow of a preset or none."""

    name: str
    label: str
    motion: str | None
    flow: Flow = "stored"


ARMS = (
    Arm("videos", "videos alone", None),
    Arm("zero", "+ photos, no flow", "parallax", "zero"),
    Arm("parallax", "+ parallax", "parallax"),
    Arm("camera", "+ camera", "camera"),
    Arm("davis", "+ davis", "davis"),
    Arm("davis-fresh", "+ davis, new motions", "davis", "fresh"),
)


def make_photos(arguments: argparse.Namespace, motion: str) -> Path:
    """Make the dataset of one motion preset, or continue it."""
    output = arguments.work / f"{motion}.zarr"
    config = RunConfig(
        input=str(arguments.duts),
        output=str(output),
        depth_model=arguments.depth_model,
        motion=motion,
        limit=arguments.photos,
        max_side=arguments.max_side,
        workers=0,
        device=arguments.device,
    )
    with ProgressLine("photos") as line:
        run(config, line)
    return output


def settings_of(arguments: argparse.Namespace, arm: Arm, seed: int) -> TrainingSettings:
    """Return the settings for the training of one network."""
    output = arguments.work / "runs" / f"{arm.name}-{seed}"
    return TrainingSettings(
        output=str(output),
        data=() if arm.motion is None else (str(arguments.work / f"{arm.motion}.zarr"),),
        videos=(f"davis16={arguments.davis}:{arguments.flows}",),
        fresh_motion=arm.flow == "fresh",
        zero_flow=arm.flow == "zero",
        encoder=arguments.encoder,
        initialization=arguments.initialization,
        epochs=arguments.epochs,
        samples_per_epoch=arguments.samples_per_epoch,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        side_px=arguments.side_px,
        select=JUDGED_BY,
        validate_every=max(1, arguments.epochs // arguments.validations),
        seed=seed,
        device=arguments.device,
        resume=output.exists(),
    )


def train_all(settings: Sequence[TrainingSettings], judged_at_px: int, jobs: int) -> list[dict[str, Any]]:
    """Train networks, `jobs` at a time; return the scores of each network."""
    if jobs == 1:
        return [train_once(one, judged_at_px) for one in settings]
    context = multiprocessing.get_context("spawn")
    cores = sorted(os.sched_getaffinity(0))
    shares = context.Queue()
    for job in range(jobs):
        shares.put(cores[job::jobs] or cores)
    with ProcessPoolExecutor(jobs, context, initializer=_take_share, initargs=(shares,)) as pool:
        return list(pool.map(train_once, settings, repeat(judged_at_px)))


def _take_share(shares: Any) -> None:
    cores = shares.get()
    os.sched_setaffinity(0, cores)
    torch.set_num_threads(len(cores))


def train_once(settings: TrainingSettings, judged_at_px: int) -> dict[str, Any]:
    """Train a network unless that is done already; return its training loss and the scores of its last weights."""
    output = Path(settings.output)
    if not validations_of(output) or validations_of(output)[-1]["step"] < settings.steps:
        with ProgressLine(f"samples of {output.name}") as line:
            train(settings, line)
    judged = output / f"judged_at_{judged_at_px}px.json"
    if not judged.exists():
        scores = judge(load_network(output / LAST, side_px=judged_at_px), open_data(settings)[1], settings.device)
        write_whole(judged, json.dumps(scores).encode())
    scores = json.loads(judged.read_text())
    losses = [one["loss"] for one in read_metrics(output) if one["kind"] == "train"]
    curve = [(one["step"], one["J&F"]) for one in validations_of(output)]
    return {**scores, "training_loss": mean(losses[-LAST_LOSSES:]), "curve": curve}


def judge(network: TwoStreamNetwork, validation: ValidationData, device: str) -> dict[str, Any]:
    """Score a network on some samples of videos."""
    device = local_share(device).device
    scores = score_samples(network, validation.read(), with_boundaries=True, device=device)
    found = summarize(scores, with_boundaries=True)
    return {"J&F": found.value, "J": found.J, "F": found.F, "sequences": dict(found.sequences)}


def seen_in_motion(settings: TrainingSettings) -> float:
    """Return the mean J of the flow threshold on training samples: on photos if the arm has them, else on videos."""
    source = open_data(settings)[0].sources[0]
    found = []
    for number in source.order(0)[:SEEN_IN_MOTION].tolist():
        (sample,) = source.read([number], 0)
        region, _ = score_frames(moving(sample)[None], sample.mask.numpy()[None] > 0, with_boundaries=False)
        found.append(float(region[0]))
    return mean(found)


def validations_of(output: Path) -> list[dict[str, Any]]:
    """Return the records of a run's validations."""
    return [one for one in read_metrics(output) if one["kind"] == "validation"]


def draw(rows: list[dict[str, Any]], baselines: dict[str, dict[str, Any]], sizes: tuple[int, int], path: Path) -> None:
    """Draw the scores of every arm and seed, and of the baselines, on one axis."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.5, 0.5 * len(rows) + 1.6), layout="constrained")
    for place, row in enumerate(rows[::-1]):
        scores = [100 * one["J&F"] for one in row["runs"]]
        as_learnt = [100 * one["curve"][-1][1] for one in row["runs"]]
        label = {} if place else {"label": f"in pictures of {sizes[0]} px, as learnt from"}
        axes.plot(as_learnt, [place] * len(scores), "o", color="tab:blue", fillstyle="none", **label)
        label = {} if place else {"label": f"of {sizes[1]} px, with mean"}
        axes.plot(scores, [place] * len(scores), "o", color="tab:blue", **label)
        axes.plot([mean(scores)] * 2, [place - 0.3, place + 0.3], color="tab:blue", linewidth=3)
    for (name, score), style in zip(baselines.items(), ("--", ":"), strict=False):
        axes.axvline(100 * score["J&F"], color="tab:gray", linestyle=style, label=name)
    axes.set_yticks(range(len(rows)), [row["label"] for row in rows[::-1]])
    axes.set_xlabel("J&F on the validation sequences, %")
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=2, fontsize="small")
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options about data and training."""
    parser.add_argument("--duts", type=Path, required=True, help="folder of DUTS with photos and masks")
    parser.add_argument("--davis", type=Path, required=True, help="folder of DAVIS-2016")
    parser.add_argument("--flows", required=True, help="flow of DAVIS-2016 made by `segmentation flows`")
    parser.add_argument(
        "--work", type=Path, required=True, help="folder for datasets and runs, which are continued if they exist"
    )
    parser.add_argument("--photos", type=int, help="number of photos of DUTS (default: all)")
    parser.add_argument(
        "--max-side", type=int, default=400, help="longer side of photos in pixels (default %(default)s)"
    )
    parser.add_argument("--depth-model", default="tiny-dpt")
    parser.add_argument("--encoder", default="mit-b0")
    parser.add_argument("--initialization", default="random")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--samples-per-epoch", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--side-px", type=int, default=128)
    parser.add_argument(
        "--judged-at-px", type=int, default=256, help="larger side for scoring in pixels (default %(default)s)"
    )
    parser.add_argument(
        "--validations", type=int, default=5, help="number of points of each curve (default %(default)s)"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")


def main() -> None:
    """Make the datasets, train the networks seed by seed, and write JSON and figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument(
        "--jobs", type=int, default=1, help="number of networks trained at the same time (default %(default)s)"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--arms", nargs="+", choices=[arm.name for arm in ARMS], default=[arm.name for arm in ARMS])
    arguments = parser.parse_args()
    arms = [arm for arm in ARMS if arm.name in arguments.arms]
    made = [make_photos(arguments, motion) for motion in dict.fromkeys(arm.motion for arm in arms if arm.motion)]
    runs: dict[str, list[dict[str, Any]]] = {arm.name: [] for arm in arms}
    settings = [(arm, settings_of(arguments, arm, seed)) for seed in arguments.seeds for arm in arms]
    trained = train_all([one for _, one in settings], arguments.judged_at_px, arguments.jobs)
    for (arm, one), scores in zip(settings, trained, strict=True):
        runs[arm.name].append({"seed": one.seed, **scores})
    _, validation = open_data(settings[0][1])
    rows = [
        {
            "arm": arm.name,
            "label": arm.label,
            "threshold_J_on_training_samples": seen_in_motion(settings_of(arguments, arm, arguments.seeds[0])),
            "mean": mean(one["J&F"] for one in runs[arm.name]),
            "spread": float(np.ptp([one["J&F"] for one in runs[arm.name]])),
            "runs": runs[arm.name],
        }
        for arm in arms
    ]
    baselines = score_baselines(validation)
    recipe = dataclasses.asdict(settings[0][1].recipe)
    photos = ShardDataset(str(made[0])).samples if made else 0
    judged = {"name": validation.name, "frames": validation.samples, "sequences": len(validation.sequences)}
    written = write(
        "ablation",
        {
            "encoder": arguments.encoder,
            "initialization": arguments.initialization,
            "photos": photos,
            "side_px": arguments.side_px,
            "judged_at_px": arguments.judged_at_px,
            "steps": settings[0][1].steps,
            "judged_by": judged,
            "recipe": recipe,
            "baselines": baselines,
            "arms": rows,
        },
    )
    draw(rows, baselines, (arguments.side_px, arguments.judged_at_px), RESULTS / "ablation.png")
    for row in rows:
        scores = ", ".join(f"{100 * one['J&F']:.1f}" for one in row["runs"])
        print(f"{row['label']:24} {100 * row['mean']:5.1f}   ({scores})")
    for name, score in baselines.items():
        print(f"{name:24} {100 * score['J&F']:5.1f}")
    print(written)


if __name__ == "__main__":
    main()
