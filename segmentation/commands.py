"""The commands of `segmentation`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from shlex import quote

import typer

from pipeline.command.options import make_app, takes
from pipeline.command.stopping import INTERRUPTED
from pipeline.engine.placement import count_of
from pipeline.errors import PipelineError
from pipeline.redaction import redact_output
from segmentation.errors import SegmentationError, Stopped
from segmentation.flow.settings import FlowCommandSettings
from segmentation.network.onnx_export import ExportSettings
from segmentation.prediction.settings import EvaluationSettings, PredictionSettings
from segmentation.scoring.settings import BenchmarkSettings, ScoreSettings
from segmentation.training.motion_settings import MotionFitSettings
from segmentation.training.settings import TrainingSettings

app = make_app("Video object segmentation: flow, training, masks and scores.")
SOME_VIDEOS_FAILED = 3


@app.command(
    "score",
    examples=(
        "segmentation score --dataset davis16 --root DAVIS --predictions masks",
        "segmentation score --dataset fbms --root FBMS --predictions masks --json scores.json --worst worst.png",
    ),
)
@takes(ScoreSettings)
def score_command(settings: ScoreSettings) -> None:
    """Score predicted masks (0/1, 0/255, palette or soft grey levels) by the protocol of a dataset."""
    from segmentation.scoring.protocols import protocol_for

    protocol_for(settings.dataset, settings.protocol)  # before anything is loaded
    from pipeline.command.progress import ProgressLine
    from segmentation.scoring.printing import show_scores
    from segmentation.scoring.scored_folder import score_folder, write_outcome

    with ProgressLine("frames") as line:
        scores, opened = score_folder(settings, line)
    show_scores(scores)
    for path in write_outcome(settings, scores, opened):
        typer.echo(path)


@app.command(
    "benchmark",
    examples=(
        "segmentation benchmark ours=results MATNet=matnet-masks --dataset davis16=DAVIS --output table",
        "segmentation benchmark ours=results --dataset davis16=DAVIS --dataset fbms=FBMS --output table",
    ),
)
@takes(BenchmarkSettings)
def benchmark_command(settings: BenchmarkSettings) -> None:
    """Score the masks of several methods by the protocols of datasets, into one table in Markdown and HTML."""
    from segmentation.scoring.benchmark import contestants, grounds, refuse_without_masks, run_benchmark

    methods, datasets = contestants(settings), grounds(settings)
    refuse_without_masks(methods, datasets)  # mistakes are found before anything is scored
    from pipeline.command.progress import ProgressLine
    from segmentation.scoring.benchmark_files import write_benchmark

    with ProgressLine("frames") as line:
        entries = run_benchmark(methods, datasets, line)
    for path in write_benchmark(entries, settings.output):
        typer.echo(path)
    _tell_problems(
        "not scored", {f"{each.method}, {each.protocol.name}": each.problem for each in entries if each.problem}
    )


@app.command(
    "flows",
    examples=(
        "segmentation flows --dataset davis16 --root DAVIS --output davis-flows.zarr",
        "segmentation flows --video holiday.mp4 --output holiday-flows.zarr",
        "segmentation flows --pairs pairs.zarr --output pairs-flows.zarr",
    ),
)
@takes(FlowCommandSettings)
def flows_command(settings: FlowCommandSettings) -> None:
    """Estimate optical flow of videos or of pairs, or continue: the same command again does what is missing."""
    from pipeline.command.progress import ProgressLine
    from segmentation.prediction.early_checks import check_flows

    check_flows(settings)
    if settings.pairs is not None:
        _estimate_pairs(settings, settings.pairs)
        return
    from segmentation.flow.clips import clips_for
    from segmentation.flow.estimate import make_flows

    output = settings.output
    clips, problems = clips_for(settings)
    with ProgressLine("frames") as line:
        summary = make_flows(clips, output, settings, line, settings.placement)
    problems |= summary.problems
    if settings.jpeg is not None:
        from segmentation.flow.jpeg_trees import write_jpeg_tree

        with ProgressLine("pictures") as line:
            write_jpeg_tree([clip for clip in clips if clip.name in summary.complete], output, settings.jpeg, line)
    typer.echo(
        f"{output}: flow of {len(summary.complete)} of {count_of(len(summary.complete) + len(problems), 'video')}, "
        f"{count_of(summary.frames_made_now, 'frame')} made in this run"
    )
    _tell_problems("not done", problems)


@app.command(
    "evaluate",
    examples=(
        "segmentation evaluate --dataset davis16=DAVIS:davis-flows.zarr --checkpoint runs/first --output results",
        "segmentation evaluate --dataset fbms=FBMS --checkpoint FakeFlow_mitb1.pth --output results",
    ),
)
@takes(EvaluationSettings)
def evaluate_command(settings: EvaluationSettings) -> None:
    """Predict the masks of whole benchmarks and score them by their protocols."""
    from pipeline.command.progress import ProgressLine
    from segmentation.prediction.run import SCORES_FILE, evaluate

    with ProgressLine("frames") as line:
        evaluation = evaluate(settings, line)
    from segmentation.scoring.printing import show_scores, show_table
    from segmentation.scoring.published import load_published
    from segmentation.scoring.tables import comparison_table

    for scores in evaluation.scores.values():
        show_scores(scores)
    if evaluation.scores:
        show_table(comparison_table(evaluation.scores, settings.checkpoint.name, load_published()))
    if evaluation.waiting_share is not None:
        typer.echo(
            f"{count_of(evaluation.frames, 'frame')} predicted; the network waited for data "
            f"{100 * evaluation.waiting_share:.1f} % of the time"
        )
    typer.echo(str((settings.output / SCORES_FILE).resolve()))
    problems = [(name, *item) for name, result in evaluation.results.items() for item in result.problems.items()]
    _tell_problems("not predicted", {f"{name}: {video}": problem for name, video, problem in problems})


@app.command(
    "predict",
    examples=(
        "segmentation predict holiday.mp4 --output masks",
        "segmentation predict holiday.mp4 --flow dis --output masks",
        "segmentation predict holiday.mp4 --checkpoint runs/first --output masks",
        "segmentation predict photo.jpg --checkpoint runs/first --depth-model tiny-dpt --output masks",
    ),
)
@takes(PredictionSettings)
def predict_command(settings: PredictionSettings) -> None:
    """Predict masks and an overlay for videos of your own, and for photos by simulated flow."""
    from pipeline.command.progress import ProgressLine
    from segmentation.prediction.run import predict

    with ProgressLine("frames") as line:
        made, problems = predict(settings, line)
    for prediction in made:
        typer.echo(
            f"{prediction.folder}: {count_of(prediction.frames, 'frame')}, flow {prediction.flow}, "
            f"masks by {prediction.network}"
        )
    _tell_problems("not done", problems)


@app.command(
    "train",
    examples=(
        "segmentation train --data dutsv2.zarr --output runs/first",
        "segmentation train --data dutsv2.zarr:3 --videos davis16=DAVIS:davis-flows.zarr:1 --output runs/mixed",
        "segmentation train --data dutsv2.zarr --output runs/first --resume",
    ),
)
@takes(TrainingSettings)
def train_command(settings: TrainingSettings) -> None:
    """Train the two-stream network; with --resume, continue where it was stopped."""
    from pipeline.command.progress import ProgressLine
    from segmentation.training.run import train

    try:
        with ProgressLine("samples") as line:
            summary = train(settings, line)
    except KeyboardInterrupt as stop:
        saved = "What was learnt is saved" if isinstance(stop, Stopped) else "The last checkpoint, if any, is kept"
        typer.echo(f"Stopped. {saved}; the same command with --resume continues.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    typer.echo(
        f"{summary.best_network}: {summary.measure} {summary.best_score:.4f} after epoch {summary.best_epoch}, the best"
    )
    for picture in summary.pictures:
        typer.echo(str(picture.resolve()))
    from segmentation.training.next_steps import next_command

    typer.echo(f"Try it:  {next_command(settings)}")


@app.command(
    "fit-motion",
    examples=(
        "segmentation fit-motion --photos dutsv2.zarr --videos davis16=DAVIS:davis-flows.zarr --output own.toml",
        "segmentation fit-motion --photos dutsv2.zarr --fields fields --output own.toml",
    ),
)
@takes(MotionFitSettings)
def fit_motion_command(settings: MotionFitSettings) -> None:
    """Fit a motion model to real videos with masks: how their camera and objects move."""
    from pipeline.command.progress import ProgressLine
    from segmentation.training.motion_fit import fit_motion_model

    with ProgressLine("simulations") as line:
        typer.echo(fit_motion_model(settings, line))


@app.command(
    "export-onnx",
    examples=(
        "segmentation export-onnx tiny-vos --output tiny-vos.onnx",
        "segmentation export-onnx runs/first --output first.onnx",
    ),
)
@takes(ExportSettings)
def export_onnx_command(settings: ExportSettings) -> None:
    """Write a network as an ONNX file, which runs without torch on inputs of any size."""
    from segmentation.network.onnx_export import export_onnx

    typer.echo(export_onnx(settings))


@app.command("datasets")
def datasets_command() -> None:
    """List the video datasets that are known: their trees, masks, licences, and where to get them."""
    from segmentation.videos.table import DATASETS

    for row in DATASETS.values():
        typer.echo(f"{row.name}: {row.title}")
        for tree in row.trees:
            typer.echo(f"  tree       {tree.images}, {tree.masks}")
        if row.splits:
            typer.echo(f"  splits     {', '.join(row.splits)}; scored: {row.default_split}")
        typer.echo(f"  annotated  {row.annotated}")
        typer.echo(f"  labels     {row.labels}")
        typer.echo(f"  licence    {row.licence}")
        typer.echo(f"  source     {row.source}")


def _estimate_pairs(settings: FlowCommandSettings, dataset: str) -> None:
    """Estimate the flow of a dataset of pairs."""
    from pipeline.command.progress import ProgressLine
    from segmentation.flow.pair_estimate import Pairs, estimate_pairs

    with ProgressLine("pairs") as line:
        made = estimate_pairs(Pairs(dataset, settings.photos), settings.output, settings, line, settings.placement)
    typer.echo(f"{settings.output}: flow of all pairs of {dataset}, {count_of(made, 'pair')} made in this run")
    photos = "" if settings.photos is None else f" --photos {quote(settings.photos)}"
    data = quote(f"{dataset}:{settings.output}")
    typer.echo(f"Learn from it:  segmentation train --data {data}{photos} --output runs/first")


def _tell_problems(what: str, problems: Mapping[str, str]) -> None:
    """Print the problem of each video that failed; exit with a code of its own if there is one."""
    for name, problem in problems.items():
        typer.echo(f"{what}: {name}: {problem}", err=True)
    if problems:
        raise typer.Exit(SOME_VIDEOS_FAILED)


def run_command_line() -> None:
    """Run the command line; an error of the user is printed as one sentence, with exit code 1."""
    redact_output(sys.argv[1:])
    try:
        app(standalone_mode=True)
    except (SegmentationError, PipelineError) as error:
        sys.exit(f"error: {error}")
