"""The commands that predict masks: `segmentation evaluate` and `segmentation predict`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.command.options import stoppable
from pipeline.engine.placement import Placement, count_of

if TYPE_CHECKING:
    from segmentation.prediction.evaluate import Evaluation

SOME_VIDEOS_FAILED = 3
Checkpoint = Annotated[
    Path,
    typer.Option(help="Folder of a run of `segmentation train` (its best network), or a released FakeFlow_mitb*.pth."),
]
SidePx = Annotated[
    int | None,
    typer.Option("--side-px", help="Side of the square that the network sees; default: as it was trained.", min=32),
]
Raft = Annotated[
    str,
    typer.Option(
        "--raft",
        help="Weights of RAFT: raft-large, raft-things, raft-small (downloaded), or a checkpoint's path.",
    ),
]
Iterations = Annotated[int, typer.Option("--raft-iterations", help="Updates of the flow field.", min=1)]
SequenceNames = Annotated[
    list[str] | None,
    typer.Option("--sequences", help="These sequences alone: names or patterns, as bear,car-*; default: all."),
]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="auto takes a GPU where there is one.")]


def evaluate_command(
    dataset: Annotated[
        list[str],
        typer.Option(
            help="NAME=ROOT or NAME=ROOT:FLOWS, such as davis16=DAVIS:davis-flows.zarr; may be repeated. FLOWS is what "
            "`segmentation flows` wrote, or the root of a JPEGFlows tree; without it RAFT estimates the flow."
        ),
    ],
    checkpoint: Checkpoint,
    output: Annotated[Path, typer.Option(help="Folder for masks, scores, pictures; the same again continues.")],
    sequences: SequenceNames = None,
    side_px: SidePx = None,
    raft: Raft = "raft-large",
    raft_iterations: Iterations = 20,
    workers: Annotated[
        int | None, typer.Option(help="0 = in this process, else on Ray; default: one per GPU or machine.", min=0)
    ] = None,
    gpus_per_worker: Annotated[
        float | None, typer.Option(help="Part of a GPU that each Ray worker gets: 0.5 = two share one; default: 1.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Predict the masks of whole benchmarks and score them by their protocols."""
    from pipeline.command.progress import ProgressLine
    from segmentation.data.source_names import Benchmark
    from segmentation.prediction.early_checks import check_evaluation
    from segmentation.videos.sequences import Sequences

    benchmarks = [Benchmark.parse(text) for text in dataset]
    chosen = Sequences.parse(sequences)
    check_evaluation(benchmarks, checkpoint, raft)
    from segmentation.flow.estimate import FlowSettings
    from segmentation.prediction.evaluate import evaluate

    settings = FlowSettings(raft, iterations=raft_iterations, upscale=True)
    placement = Placement(workers, device, gpus_per_worker)
    with stoppable(), ProgressLine("frames") as line:
        evaluation = evaluate(benchmarks, checkpoint, output, settings, line, placement, side_px, chosen)
    _show(evaluation, checkpoint, output)
    problems = [(name, *item) for name, result in evaluation.results.items() for item in result.problems.items()]
    for name, video, problem in problems:
        typer.echo(f"not predicted: {name}: {video}: {problem}", err=True)
    if problems:
        raise typer.Exit(SOME_VIDEOS_FAILED)


def predict_command(
    inputs: Annotated[list[Path], typer.Argument(help="Video files, folders of frames, photos.")],
    checkpoint: Checkpoint,
    output: Annotated[Path, typer.Option(help="Folder; each input becomes a folder of its name in it.")],
    side_px: SidePx = None,
    raft: Raft = "raft-large",
    raft_iterations: Iterations = 20,
    depth_model: Annotated[
        str, typer.Option(help="For photos, whose flow is simulated: as for `pipeline run`; tiny-dpt needs no network.")
    ] = "Intel/dpt-hybrid-midas",
    device: Device = "auto",
) -> None:
    """Masks and an overlay for videos of your own, and for photos by simulated flow."""
    from pipeline.command.progress import ProgressLine
    from segmentation.prediction.early_checks import check_prediction

    check_prediction(inputs, checkpoint, raft)
    from segmentation.prediction.predict import PredictionSettings, predict

    settings = PredictionSettings(checkpoint, raft, raft_iterations, depth_model, device, side_px)
    with stoppable(), ProgressLine("frames") as line:
        made, problems = predict(inputs, output, settings, line)
    for prediction in made:
        typer.echo(f"{prediction.folder}: {count_of(prediction.frames, 'frame')}, flow {prediction.flow}")
    for source, problem in problems.items():
        typer.echo(f"not done: {source}: {problem}", err=True)
    if problems:
        raise typer.Exit(SOME_VIDEOS_FAILED)


def _show(evaluation: Evaluation, checkpoint: Path, output: Path) -> None:
    """Print tables; write scores and pictures."""
    from segmentation.scoring.plots import plot_scores_over_time
    from segmentation.scoring.published import load_published
    from segmentation.scoring.reporting import show_report, show_table, write_json
    from segmentation.scoring.tables import comparison_table
    from segmentation.scoring.worst_frames import draw_worst_frames

    reports = {name: result.report for name, result in evaluation.results.items() if result.report is not None}
    for name, report in reports.items():
        show_report(report)
        result = evaluation.results[name]
        plot_scores_over_time(report, output / f"{name}-scores.png")
        draw_worst_frames(report, result.dataset, result.masks, 0.5, output / f"{name}-worst.png")
    if reports:
        show_table(comparison_table(reports, checkpoint.name, load_published()))
    write_json(evaluation.as_json(checkpoint), output / "scores.json")
    if evaluation.waiting_share is not None:
        typer.echo(
            f"{count_of(evaluation.frames, 'frame')} predicted; the network waited for data "
            f"{100 * evaluation.waiting_share:.1f} % of the time"
        )
    typer.echo(str((output / "scores.json").resolve()))
