"""One training on real data, from random weights, against what can be scored without learning.

    python -m benchmarks.learning --duts DUTS --davis DAVIS --flows davis-flows.zarr --work FOLDER

It learns from photos with the motions of the preset `davis`, new ones in each epoch, and from DAVIS train, mixed as
`segmentation train` does. Scores are those of the last weights: on the training sequences that were held out, by which
it was watched, and on DAVIS-2016 val.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
from typing import Any

from benchmarks.ablation import ARMS, JUDGED_BY, add_options, make_photos, settings_of
from benchmarks.baselines import score_baselines
from benchmarks.record import RESULTS, write
from pipeline.placement import local_share
from pipeline.progress import ProgressLine
from segmentation.checkpoint import load_network
from segmentation.datasets import ShardDataset
from segmentation.model import TwoStreamNetwork
from segmentation.train import train
from segmentation.training_data import ValidationData, open_data
from segmentation.training_log import METRICS_FILE, read_metrics
from segmentation.training_report import CURVES_FILE, PREDICTIONS_FILE, draw_predictions
from segmentation.training_settings import HELD_OUT
from segmentation.training_state import LAST
from segmentation.validation import score_samples, summarize

(ARM,) = (arm for arm in ARMS if arm.name == "davis-fresh")


def score(network: TwoStreamNetwork, validation: ValidationData, device: str) -> dict[str, Any]:
    """Score a network, and the baselines, on some samples."""
    scores = score_samples(network, validation.read(), with_boundaries=True, device=device)
    found = summarize(scores, with_boundaries=True)
    return {
        "samples": validation.name,
        "frames": validation.samples,
        "network": {"J&F": found.value, "J": found.J, "F": found.F, "sequences": dict(found.sequences)},
        "baselines": score_baselines(validation),
    }


def main() -> None:
    """Train, score, and keep numbers, log and pictures in benchmarks/results/."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    photos = ShardDataset(str(make_photos(arguments, str(ARM.motion)))).samples
    run = arguments.work / "runs" / f"learning-{arguments.seed}"
    settings = dataclasses.replace(
        settings_of(arguments, ARM, arguments.seed), output=str(run), select=HELD_OUT, resume=run.exists()
    )
    with ProgressLine("samples") as line:
        summary = train(settings, line)
    _, test = open_data(dataclasses.replace(settings, select=JUDGED_BY))
    _, held_out = open_data(settings)
    losses = [one["loss"] for one in read_metrics(run) if one["kind"] == "train"]
    RESULTS.mkdir(exist_ok=True)
    shutil.copyfile(run / METRICS_FILE, RESULTS / "learning_metrics.jsonl")
    shutil.copyfile(run / CURVES_FILE, RESULTS / "learning_curves.png")
    device = local_share(settings.device).device
    last = load_network(run / LAST).to(device)
    draw_predictions(last, test, RESULTS / f"learning_{PREDICTIONS_FILE}", device=device, precision="float32")
    figures = {
        "encoder": settings.encoder,
        "initialization": settings.initialization,
        "photos": photos,
        "side_px": settings.side_px,
        "steps": settings.steps,
        "seconds": summary.seconds,
        "recipe": dataclasses.asdict(settings.recipe),
        "loss": {"first": losses[0], "last": losses[-1]},
        "held_out": score(last, held_out, device),
        "test": score(last, test, device),
    }
    print(figures)
    print(write("learning", figures))


if __name__ == "__main__":
    main()
