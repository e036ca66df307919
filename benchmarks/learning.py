"""One training on real data against baselines without learning.

    python -m benchmarks.learning --duts DUTS --davis DAVIS --flows davis-flows.zarr --work FOLDER --stages 128:40 224:8

The network learns from photos with motions of the preset `davis`, drawn anew in each epoch, and from DAVIS train, mixed
as in `segmentation train`. Each stage starts from the last weights of the stage before. The last weights are scored on
held-out training sequences, which served for validation, and on DAVIS-2016 val. Training from random weights writes
learning.json, a log and pictures; training with `--initialization` and `--encoder` writes learning_pretrained.json and
so on (`benchmarks.package_weights` makes a file of weights).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.ablation import ARMS, JUDGED_BY, LAST_LOSSES, add_options, judge, make_photos, settings_of
from benchmarks.baselines import score_baselines
from benchmarks.record import RESULTS, write
from pipeline.command.progress import ProgressLine
from pipeline.engine.placement import local_share
from segmentation.data.photo_samples import ShardDataset
from segmentation.network.checkpoint import load_network
from segmentation.network.model import TwoStreamNetwork
from segmentation.network.network_files import LAST
from segmentation.training.data_split import ValidationData, open_data
from segmentation.training.folder import METRICS_FILE, read_metrics
from segmentation.training.pictures import CURVES_FILE, PREDICTIONS_FILE, draw_curves, draw_predictions
from segmentation.training.run import train
from segmentation.training.settings import HELD_OUT, TrainingSettings

(ARM,) = (arm for arm in ARMS if arm.name == "davis-fresh")


def score(network: TwoStreamNetwork, validation: ValidationData, device: str) -> dict[str, Any]:
    """Score a network and the baselines on some samples."""
    return {
        "samples": validation.name,
        "frames": validation.samples,
        "network": judge(network, validation, device),
        "baselines": score_baselines(validation),
    }


@dataclass(frozen=True)
class Stage:
    """A stage of the training: its picture size and duration."""

    side_px: int
    epochs: int
    learning_rate: float | None = None

    @classmethod
    def parse(cls, text: str) -> Stage:
        """Parse SIDE_PX:EPOCHS or SIDE_PX:EPOCHS:LEARNING_RATE."""
        side_px, epochs, *rate = text.split(":")
        return cls(int(side_px), int(epochs), float(rate[0]) if rate else None)


def stages_of(arguments: argparse.Namespace) -> list[TrainingSettings]:
    """Return the training settings of each stage."""
    stages: list[TrainingSettings] = []
    for place, stage in enumerate(arguments.stages):
        output = arguments.work / "runs" / f"learning-{arguments.seed}" / f"{place + 1}-{stage.side_px}px"
        settings = dataclasses.replace(
            settings_of(arguments, ARM, arguments.seed),
            output=str(output),
            side_px=stage.side_px,
            epochs=stage.epochs,
            learning_rate=stage.learning_rate or arguments.learning_rate,
            validate_every=max(1, stage.epochs // arguments.validations),
            select=HELD_OUT,
            resume=output.exists(),
        )
        if stages:
            settings = dataclasses.replace(settings, initialization=str(Path(stages[-1].output) / LAST))
        stages.append(settings)
    return stages


def join_logs(stages: list[TrainingSettings], output: Path) -> list[dict[str, Any]]:
    """Write the records of all stages as those of one run, and return them."""
    records, steps, epochs = [], 0, 0
    for settings in stages:
        for record in read_metrics(Path(settings.output)):
            place = {"step": steps + record["step"], "epoch": epochs + record["epoch"]}
            records.append({**record, **place, "side_px": settings.side_px})
        steps, epochs = steps + settings.steps, epochs + settings.recipe.epochs
    (output / METRICS_FILE).write_text("".join(json.dumps(record) + "\n" for record in records))
    return records


def main() -> None:
    """Train and score, and write figures, log and pictures to benchmarks/results/."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--stages",
        type=Stage.parse,
        nargs="+",
        default=[Stage(128, 40), Stage(224, 8)],
        metavar="SIDE_PX:EPOCHS[:LEARNING_RATE]",
        help="stages SIDE_PX:EPOCHS, in place of --side-px and --epochs (default 128:40 224:8)",
    )
    arguments = parser.parse_args()
    photos = ShardDataset(str(make_photos(arguments, str(ARM.motion)))).samples
    stages = stages_of(arguments)
    for settings in stages:
        with ProgressLine("samples") as line:
            train(settings, line)
    run = Path(settings.output)
    records = join_logs(stages, run.parent)
    _, test = open_data(dataclasses.replace(settings, select=JUDGED_BY))
    _, held_out = open_data(settings)
    losses = [one["loss"] for one in records if one["kind"] == "train"]
    name = "learning" if arguments.initialization == "random" else "learning_pretrained"
    RESULTS.mkdir(exist_ok=True)
    shutil.copyfile(run.parent / METRICS_FILE, RESULTS / f"{name}_{METRICS_FILE}")
    draw_curves(run.parent, RESULTS / f"{name}_{CURVES_FILE}")
    device = local_share(settings.device).device
    last = load_network(run / LAST, side_px=arguments.judged_at_px)
    draw_predictions(last, test, RESULTS / f"{name}_{PREDICTIONS_FILE}", device=device, precision="float32")
    figures = {
        "encoder": settings.network_size.encoder,
        "initialization": Path(arguments.initialization).name,
        "photos": photos,
        "judged_at_px": arguments.judged_at_px,
        "stages": [
            {"side_px": one.side_px, "steps": one.steps, "recipe": dataclasses.asdict(one.recipe)} for one in stages
        ],
        "loss": {"first": losses[0], "last": mean(losses[-LAST_LOSSES:])},
        "held_out": score(last, held_out, device),
        "test": score(last, test, device),
    }
    print(figures)
    print(write(name, figures))


if __name__ == "__main__":
    main()
