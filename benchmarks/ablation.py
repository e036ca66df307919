"""Comparison of training data: networks of one size, trained equally long, scored on videos they have not seen.

    python -m benchmarks.ablation --duts DUTS --davis DAVIS --flows davis-flows.zarr --work FOLDER \
        --initialization lite0.safetensors

All arms see the same number of samples with the recipe `modern`. In arms with photos and videos, three of four samples
are photos, as published. The last weights are scored, so that nothing is chosen on the scored sequences: ten sequences
of DAVIS-2016 train that no arm learns from, and DAVIS-2016 val. Networks are scored as they were trained, and seeing
256 px, as the included network does. `benchmarks.package_weights` makes the first weights of the encoders. The decoder
begins fitted to their features. Older runs, in which it began as published, are summarised beside the others.

The comparison takes days on a CPU. Datasets and runs in FOLDER are continued. Each finished run is appended to
benchmarks/results/ablation_runs.jsonl, and no run with the same settings is made again, on whatever machine.
`--minutes` starts no further run after that time. Table (ablation.json) and figure show all runs that are finished.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.ablation_data import ARMS, Arm, fingerprint_of, judged_by, learnt_sequences
from benchmarks.ablation_table import answers, draw, summary
from benchmarks.baselines import moving, score_baselines
from benchmarks.record import RESULTS, environment, write
from pipeline.command.progress import ProgressLine
from pipeline.engine.placement import local_share
from segmentation.network.checkpoint import load_network
from segmentation.network.model import TwoStreamNetwork
from segmentation.network.network_files import LAST
from segmentation.scoring.metrics import score_frames
from segmentation.training.data_split import ValidationData, open_data
from segmentation.training.folder import read_metrics
from segmentation.training.run import train
from segmentation.training.settings import HELD_OUT as HELD_OUT_PHOTOS
from segmentation.training.settings import TrainingSettings
from segmentation.training.validation import score_samples, summarize

RUNS = RESULTS / "ablation_runs.jsonl"
SEEN_IN_MOTION = 400
"""Number of samples for measuring how well motion alone shows the object."""
LARGER_PX = 256
"""Side of the square that networks also see when they are scored, whatever the side that they learnt from."""
FITTED, PUBLISHED = "decoder fitted to the features", "decoder as published"
"""First weights of a network: those of today, and those of older runs, which show what the fitting changes."""
LAST_LOSSES = 10
"""Number of last records of the training loss that are averaged, because single batches vary."""


def settings_of(arguments: argparse.Namespace, arm: Arm, seed: int) -> TrainingSettings:
    """Return the settings for the training of one network."""
    output = arguments.work / "runs" / f"{arm.name}-{seed}"
    return TrainingSettings(
        output=str(output),
        data=() if arm.photos is None else (arm.photos.source(arguments.work),),
        videos=(f"davis16={arguments.davis}:{arguments.flows}",) if arm.has_videos else (),
        sequences=learnt_sequences(arguments.davis) if arm.has_videos else (),
        zero_flow=not arm.has_flow,
        mixed_flow=arm.photos is not None and arm.photos.is_estimated,
        size="small",
        initialization=arguments.initialization,
        epochs=arguments.epochs,
        samples_per_epoch=arguments.samples // arguments.epochs,
        batch_size=arguments.batch_size,
        side_px=arguments.side_px,
        select="davis16-val" if arm.has_videos else HELD_OUT_PHOTOS,
        validate_every=arguments.epochs,
        seed=seed,
        device=arguments.device,
        resume=output.exists(),
    )


def identity_of(arm: Arm, settings: TrainingSettings, photos: int | None, flows: str) -> dict[str, Any]:
    """Return what decides the outcome of a run, without places: equal identities are never trained twice."""
    content = settings.content()
    kept = ("encoder", "decoder_width", "side_px", "seed", "recipe")
    return {
        "arm": arm.name,
        "photos": photos if arm.photos else None,
        "flows": flows,
        "initialization": Path(settings.initialization).name,
        "first_weights": FITTED,
        **{name: content[name] for name in kept},
    }


def finished_runs() -> list[dict[str, Any]]:
    """Return the records of all finished runs."""
    return [json.loads(line) for line in RUNS.read_text().splitlines()] if RUNS.exists() else []


def runs_like(identities: list[dict[str, Any]], **changes: str) -> list[dict[str, Any]]:
    """Return the finished runs with one of some identities, in which some values may be changed."""
    wanted = [{**identity, **changes}.items() for identity in identities]
    return [one for one in finished_runs() if any(identity <= one.items() for identity in wanted)]


def train_and_judge(settings: TrainingSettings, judged: dict[str, ValidationData]) -> dict[str, Any]:
    """Train a network, and return its training loss and the scores of its last weights."""
    output = Path(settings.output)
    with ProgressLine(f"samples of {output.name}") as line:
        train(settings, line)
    losses = [one["loss"] for one in read_metrics(output) if one["kind"] == "train"]
    scores = {
        size: {name: judge(network, validation, settings.device) for name, validation in judged.items()}
        for size, network in networks_of(output).items()
    }
    return {"training_loss": mean(losses[-LAST_LOSSES:]), **scores}


def networks_of(output: Path) -> dict[str, TwoStreamNetwork]:
    """Return the last network of a run as it was trained, and seeing larger pictures."""
    return {"as_trained": load_network(output / LAST), "larger": load_network(output / LAST, side_px=LARGER_PX)}


def judge(network: TwoStreamNetwork, validation: ValidationData, device: str) -> dict[str, Any]:
    """Score a network on some samples of videos, at the size of their frames."""
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


def main() -> None:
    """Make the datasets, train the networks seed by seed, and write ledger, table and figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--duts", type=Path, required=True, help="folder of DUTS with photos and masks")
    parser.add_argument("--davis", type=Path, required=True, help="folder of DAVIS-2016")
    parser.add_argument("--flows", required=True, help="flow of DAVIS-2016 train and val by `segmentation flows`")
    parser.add_argument("--work", type=Path, required=True, help="folder for datasets and runs")
    parser.add_argument("--initialization", default="imagenet")
    parser.add_argument("--photos", type=int, help="number of photos of DUTS (default: all)")
    parser.add_argument("--max-side", type=int, default=320)
    parser.add_argument("--samples", type=int, default=20_000, help="training samples of a run (default %(default)s)")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--side-px", type=int, default=128)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", choices=[arm.name for arm in ARMS], default=[arm.name for arm in ARMS])
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no run after this time")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    arguments = parser.parse_args()
    start = time.monotonic()
    arms = [arm for arm in ARMS if arm.name in arguments.arms]
    judged = judged_by(arguments.davis, arguments.flows)
    planned = [(arm, settings_of(arguments, arm, seed)) for seed in arguments.seeds for arm in arms]
    flows = fingerprint_of(arguments.flows)
    identities = [identity_of(arm, settings, arguments.photos, flows) for arm, settings in planned]
    for (arm, settings), identity in zip(planned, identities, strict=True):
        if runs_like([identity]):
            continue
        if time.monotonic() - start > 60 * arguments.minutes:
            break
        if arm.photos is not None:
            arm.photos.make(arguments.work, arguments.duts, arguments.photos, arguments.max_side, arguments.device)
        record = {**identity, **train_and_judge(settings, judged), "environment": environment()}
        with RUNS.open("a") as ledger:
            ledger.write(json.dumps(record) + "\n")
    runs = {FITTED: runs_like(identities), PUBLISHED: runs_like(identities, first_weights=PUBLISHED)}
    if len(runs[FITTED]) < len(planned):
        print(f"{len(runs[FITTED])} of {len(planned)} runs are finished; the same command continues")
    arms_done = {one["arm"] for some in runs.values() for one in some}
    seen = {arm.name: seen_in_motion(settings_of(arguments, arm, 0)) for arm in ARMS if arm.name in arms_done}
    baselines = {name: score_baselines(validation) for name, validation in judged.items()}
    rows = {first_weights: summary(some, seen) for first_weights, some in runs.items()}
    draw(rows[FITTED], baselines, RESULTS / "ablation.png")
    counts = {name: {"sequences": len(one.sequences), "frames": one.samples} for name, one in judged.items()}
    recipe = dataclasses.asdict(planned[0][1].recipe)
    data = {"photos": arguments.photos, "learnt_sequences": len(learnt_sequences(arguments.davis))}
    training = {"side_px": arguments.side_px, "larger_px": LARGER_PX, "samples": arguments.samples, "recipe": recipe}
    scores = {"judged_by": counts, "baselines": baselines, "arms": rows[FITTED], "arms_as_published": rows[PUBLISHED]}
    scores["answers"] = answers(runs[FITTED])
    print(write("ablation", {**data, **training, **scores}))


if __name__ == "__main__":
    main()
