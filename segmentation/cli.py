"""The `segmentation` command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.command.options import make_app, options_of, stoppable
from pipeline.command.stopping import INTERRUPTED, stopped_by_signals
from pipeline.engine.placement import Placement, count_of
from pipeline.errors import PipelineError
from pipeline.files.places import refuse_as_output
from pipeline.redaction import redact_output
from segmentation.errors import SegmentationError, Stopped
from segmentation.flow.raft_names import Size
from segmentation.prediction import prediction_cli
from segmentation.training.settings import TrainingSettings

app = make_app("Video object segmentation: flow, training, masks and scores.")
SOME_VIDEOS_FAILED = prediction_cli.SOME_VIDEOS_FAILED
app.command("evaluate")(prediction_cli.evaluate_command)
app.command("predict")(prediction_cli.predict_command)


@app.command("score")
def score_command(
    dataset: Annotated[str, typer.Option(help="davis16, fbms, ytobj, lvid or segtrackv2.")],
    root: Annotated[Path, typer.Option(help="The dataset's folder; for its masks.")],
    predictions: Annotated[Path, typer.Option(help="Folder with one folder of mask images per video.")],
    split: Annotated[str | None, typer.Option(help="Of the dataset; default: the one that is published.")] = None,
    sequences: prediction_cli.SequenceNames = None,
    protocol: Annotated[str | None, typer.Option(help="Such as davis16-all-frames; default: the dataset's.")] = None,
    threshold: Annotated[float, typer.Option(help="Levels from this share of 255 on are object.")] = 0.5,
    saliency: Annotated[
        bool, typer.Option("--saliency", help="Also MAE, F-beta, S- and E-measure of the soft masks.")
    ] = False,
    json_path: Annotated[Path | None, typer.Option("--json", help="File for all scores, also per frame.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Picture to write: J and F of every frame over time.")] = None,
    worst: Annotated[Path | None, typer.Option(help="Picture to write: the frames of lowest J.")] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Score what there is; missing frames are left out of the means.")
    ] = False,
) -> None:
    """Score predicted masks (0/1, 0/255, palette or soft grey levels) by a dataset's protocol."""
    from segmentation.scoring.protocols import protocol_for
    from segmentation.videos.datasets import open_dataset
    from segmentation.videos.sequences import Sequences

    rules = protocol_for(dataset, protocol)
    every, wanted = open_dataset(dataset, root, split), Sequences.parse(sequences)
    wanted.check(every.names, str(root))
    opened = every.only(wanted)
    opened.require_videos()
    from rich.console import Console
    from rich.progress import Progress

    from segmentation.scoring.reporting import show_report, write_json
    from segmentation.scoring.score import score_predictions

    errors = Console(stderr=True)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task("frames", total=None)
        report = score_predictions(
            opened,
            predictions,
            rules,
            threshold=threshold,
            with_saliency=saliency,
            allow_missing=allow_missing,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    show_report(report)
    if json_path is not None:
        write_json(report.as_json(), json_path)
        typer.echo(str(json_path.resolve()))
    if plot is not None:
        from segmentation.scoring.plots import plot_scores_over_time

        plot_scores_over_time(report, plot)
        typer.echo(str(plot.resolve()))
    if worst is not None:
        from segmentation.scoring.worst_frames import draw_worst_frames

        draw_worst_frames(report, opened, predictions, threshold, worst)
        typer.echo(str(worst.resolve()))


@app.command("flows")
def flows_command(
    output: Annotated[str, typer.Option(help="The Zarr group to make or to continue; folder or URL.")],
    dataset: Annotated[
        str | None, typer.Option(help="davis16, fbms, ytobj, lvid, ytvos18 or segtrackv2; with --root.")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="The dataset's folder.")] = None,
    split: Annotated[str | None, typer.Option(help="Of the dataset; default: all that are there.")] = None,
    sequences: prediction_cli.SequenceNames = None,
    video: Annotated[
        Path | None, typer.Option(help="A video file or a folder of frames, in place of a dataset.")
    ] = None,
    raft: prediction_cli.Raft = "raft-large",
    model: Annotated[Size | None, typer.Option(help="Refuse weights of the other network; default: either.")] = None,
    raft_iterations: prediction_cli.Iterations = 20,
    stride: Annotated[int, typer.Option(help="Flow of frame k points to frame k + stride.", min=1)] = 1,
    upscale: Annotated[
        bool, typer.Option("--upscale", help="Enlarge frames below 128 px instead of refusing them.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(help="0 = in this process, else on Ray; default: one per GPU or machine.", min=0)
    ] = None,
    gpus_per_worker: Annotated[
        float | None, typer.Option(help="Part of a GPU that each Ray worker gets: 0.5 = two share one; default: 1.")
    ] = None,
    device: prediction_cli.Device = "auto",
    jpeg: Annotated[
        Path | None, typer.Option(help="Folder for a JPEGFlows tree as the published code reads it.")
    ] = None,
) -> None:
    """Estimate optical flow of videos by RAFT, or continue: the same command again does what is missing."""
    from pipeline.command.progress import ProgressLine

    refuse_as_output(output)
    if (dataset is None) == (video is None) or (dataset is None) != (root is None):
        raise SegmentationError("give either --dataset with --root, or --video")
    if sequences and dataset is None:
        raise SegmentationError("--sequences chooses among the videos of --dataset; leave it out with --video")
    from segmentation.flow.raft_names import check_raft
    from segmentation.prediction.early_checks import check_flows, check_input

    if video is not None:
        check_input(video)
        check_raft(raft)
    else:
        assert dataset is not None
        assert root is not None
        check_flows(dataset, root, split, raft)
    from segmentation.flow.estimate import FlowSettings, clip_of, clips_of, make_flows
    from segmentation.videos.sequences import Sequences

    problems: dict[str, str] = {}
    if video is not None:
        clips = [clip_of(video)]
    else:
        assert dataset is not None
        assert root is not None
        clips, problems = clips_of(dataset, root, split, Sequences.parse(sequences))
    settings = FlowSettings(raft, model, raft_iterations, stride, upscale)
    placement = Placement(workers, device, gpus_per_worker)
    with stoppable(), ProgressLine("frames") as line:
        summary = make_flows(clips, output, settings, line, placement)
    problems |= summary.problems
    if jpeg is not None:
        from segmentation.flow.jpeg_trees import write_jpeg_tree

        with ProgressLine("pictures") as line:
            write_jpeg_tree([clip for clip in clips if clip.name in summary.complete], output, jpeg, line)
    typer.echo(
        f"{output}: flow of {len(summary.complete)} of {count_of(len(summary.complete) + len(problems), 'video')}, "
        f"{count_of(summary.frames_made_now, 'frame')} made in this run"
    )
    for name, problem in problems.items():
        typer.echo(f"not done: {name}: {problem}", err=True)
    if problems:
        raise typer.Exit(SOME_VIDEOS_FAILED)


@app.command("train")
@options_of(TrainingSettings)
def train_command(
    fresh_motion: Annotated[
        bool, typer.Option("--fresh-motion", help="Draw a new motion per photo and epoch instead of the stored flow.")
    ] = False,
    **given: Any,
) -> None:
    """Train the two-stream network; with --resume, continue where it was stopped."""
    from segmentation.videos.sequences import Sequences

    typed: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    for name in ("data", "videos"):
        typed[name] = tuple(typed.get(name, ()))
    typed["sequences"] = Sequences.parse(typed.get("sequences")).patterns
    settings = TrainingSettings(**typed, flow="fresh" if fresh_motion else "stored")
    from pipeline.command.progress import ProgressLine
    from segmentation.prediction.early_checks import check_training

    check_training(settings)
    from segmentation.training.next_steps import next_command
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
    typer.echo(f"Try it:  {next_command(settings)}")


@app.command("fit-motion")
def fit_motion_command(
    photos: Annotated[str, typer.Option(help="Dataset of `pipeline run`: its depths and masks are simulated on.")],
    output: Annotated[Path, typer.Option(help="TOML file to write, for `pipeline run --motion`.")],
    videos: Annotated[
        str | None,
        typer.Option(help="Real videos with masks and flow, as davis16=DAVIS:davis-flows.zarr; their training split."),
    ] = None,
    fields: Annotated[
        Path | None,
        typer.Option(help="In place of videos: folder of .npz with flow (n,h,w,2) and mask (n,h,w), one per video."),
    ] = None,
    side_px: Annotated[
        float | None,
        typer.Option(help="With --fields made smaller: longer side of the frames that flow is in px of.", min=1),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the fit.", min=0)] = 0,
) -> None:
    """Fit a motion model to real videos with masks: how their camera and objects move."""
    from pipeline.command.progress import ProgressLine
    from segmentation.data.source_names import VideoSource
    from segmentation.training.motion_fit import fields_of_folder, fields_of_videos, fit_motion, statistics_of

    if (videos is None) == (fields is None):
        raise SegmentationError("give either --videos NAME=ROOT:FLOWS, or --fields")
    if output.suffix != ".toml":
        raise SegmentationError(f"--output {output}; expected a name that ends in .toml")
    with ProgressLine("simulations") as line:
        if fields is not None:
            line.announce(f"reading {fields}")
            measured = statistics_of(fields_of_folder(fields, side_px))
        else:
            assert videos is not None
            source = VideoSource.parse(videos)
            line.announce(f"reading {source.flows}")
            measured = statistics_of(fields_of_videos(source))
        origin = fields.resolve().name if fields is not None else f"{source.dataset} train"
        typer.echo(fit_motion(measured, photos, output, origin, line, seed))


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


def main() -> None:
    """Run the command line; a user's error is one sentence and exit code 1, Ctrl-C exit code 130."""
    redact_output(sys.argv[1:])
    try:
        with stopped_by_signals():
            app(standalone_mode=True)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except (SegmentationError, PipelineError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
