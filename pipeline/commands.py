"""The commands of `pipeline`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline import telling
from pipeline.command.options import make_app, options_of, takes
from pipeline.command.progress import ProgressLine
from pipeline.command.stopping import INTERRUPTED
from pipeline.command_settings import (
    DepthSettings,
    ImportCommandSettings,
    PreviewSettings,
    ReportSettings,
    StatusSettings,
    VerifySettings,
    ViewSettings,
)
from pipeline.engine.placement import count_of
from pipeline.errors import PipelineError
from pipeline.files.ids import shown
from pipeline.files.places import refuse_as_output, refuse_other_file
from pipeline.making.config import ImportSettings, RunConfig, load_config
from pipeline.redaction import redact_output
from pipeline.sharing_commands import add_commands
from pipeline.telling import BROKEN, TOO_MANY_FAILURES

if TYPE_CHECKING:
    from pipeline.making.run import RunSummary
    from pipeline.recipe.verdict import Verdict

app = make_app("Turn photos with masks into a Zarr dataset of image-flow-mask triplets.", aliases={"info": "status"})
add_commands(app)


@app.command(
    "run",
    examples=(
        "pipeline run --input DUTS --output dutsv2.zarr",
        "pipeline run --input examples/DUTS --depth-model tiny-dpt --output dutsv2.zarr",
        "pipeline run --images photos --masks masks --motion camera --output own.zarr",
        "pipeline run --config run.toml --seed 1 --output second.zarr",
        "pipeline run --recipe dutsv2.recipe.json --input DUTS --output again.zarr",
    ),
)
@options_of(RunConfig)
def run_command(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", help="TOML file with any of these settings; options win over it.", rich_help_panel="Input"
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            help="Recipe of a dataset to make again from the same photos; a file or URL. It holds all settings.",
            rich_help_panel="Input",
        ),
    ] = None,
    **given: Any,
) -> None:
    """Make a dataset, or continue one: the same command makes the missing part."""
    if recipe is not None:
        follow_recipe(recipe, config, given)
        return
    settings = load_config(given, config)
    refuse_as_output(settings.output)
    from pipeline.making.run import run

    with ProgressLine("photos") as line:
        summary = run(settings, line)
    tell(telling.run_summary(settings, summary, line.rate))
    refuse_failures(settings, summary)


def follow_recipe(recipe: str, config: Path | None, given: dict[str, Any]) -> None:
    """Make a dataset again as a recipe says, and tell how it compares with the first one."""
    from pipeline.recipe.following import run_recipe

    if config is not None:
        raise PipelineError("--config cannot be given with --recipe, which holds all settings. Leave one of them out.")
    places = {name: value for name, value in given.items() if value is not None}
    refuse_as_output(places.get("output", ""))
    with ProgressLine("photos") as line:
        settings, summary, verdict = run_recipe(recipe, places, line)
    tell(telling.run_summary(settings, summary, line.rate))
    refuse_difference(settings.output, verdict)
    refuse_failures(settings, summary)


def refuse_difference(dataset: str, verdict: Verdict) -> None:
    """Print how a dataset compares with a recipe; end the command with an exit code of its own if it differs."""
    tell(telling.verdict(dataset, verdict))
    if verdict.kind == "different":
        raise typer.Exit(BROKEN)


def tell(lines: list[telling.Line]) -> None:
    """Print lines."""
    for line in lines:
        typer.echo(line.text, err=line.is_error)


def refuse_failures(settings: RunConfig, summary: RunSummary) -> None:
    """End the command with an exit code of its own if more photos failed than are allowed."""
    failed = len(summary.failures)
    if failed > settings.max_failures:
        typer.echo(f"{count_of(failed, 'photo')} failed; --max-failures allows {settings.max_failures}.", err=True)
        raise typer.Exit(TOO_MANY_FAILURES)


@app.command("status", examples=("pipeline status dutsv2.zarr", "pipeline status dutsv2.zarr --failures"))
@takes(StatusSettings)
def status_command(settings: StatusSettings) -> None:
    """Show state, contents and provenance of a dataset of photos or the flow of videos."""
    from pipeline.dataset.flow_store import open_any
    from pipeline.dataset.store import DatasetStore
    from pipeline.showing.status import describe

    typer.echo(describe(settings.dataset))
    if settings.failures and isinstance(store := open_any(settings.dataset), DatasetStore):
        for failure in store.failures():
            typer.echo("\t".join(map(shown, (failure.id, failure.reason, failure.message))))


@app.command(
    "verify",
    examples=(
        "pipeline verify dutsv2.zarr",
        "pipeline verify dutsv2.zarr --all --repair",
        "pipeline verify dutsv2.zarr --against dutsv2.recipe.json",
    ),
)
@takes(VerifySettings)
def verify_command(settings: VerifySettings) -> None:
    """Check the checksums of all files, the schema and the values; flow is made again from the stored motion."""
    from pipeline.checking import verify
    from pipeline.recipe.reading import read_recipe

    dataset = settings.dataset
    wanted = None if settings.against is None else read_recipe(settings.against)
    try:
        with ProgressLine("checked") as line:
            result = verify.verify(dataset, line, settings.all_rows)
    except KeyboardInterrupt:
        typer.echo("Stopped; nothing was changed.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    tell(telling.verification(dataset, result))
    if result.is_whole:
        if wanted is not None:
            from pipeline.dataset.store import DatasetStore
            from pipeline.recipe.verdict import compare

            with ProgressLine("compared") as line:
                refuse_difference(dataset, compare(DatasetStore.open(dataset), wanted, line))
        return
    if settings.repair and result.findings:
        from pipeline.checking.repair import repair as repair_dataset

        for sentence in repair_dataset(dataset, result, lambda sentence: typer.echo(sentence, err=True)):
            typer.echo(sentence)
    elif result.findings:
        typer.echo(
            "Remove the broken shards with --repair, then run the command that made the dataset again.", err=True
        )
    raise typer.Exit(BROKEN)


@app.command(
    "preview",
    examples=(
        "pipeline preview dutsv2.zarr --rows 4",
        "pipeline preview pairs.zarr --output pairs.webp",
        "pipeline preview pairs.zarr --flows pairs-flows.zarr --output pairs.png",
        "pipeline preview davis-flows.zarr/bear --output bear.mp4",
    ),
)
@takes(PreviewSettings)
def preview_command(settings: PreviewSettings) -> None:
    """Draw a contact sheet of a dataset or of the flow of videos, or an animation of pairs and clips."""
    import numpy as np

    from pipeline.dataset.flow_store import open_any
    from pipeline.dataset.store import DatasetStore
    from pipeline.files.pictures import write_png
    from pipeline.showing.flow_preview import flow_sheet, write_flow_video
    from pipeline.showing.frame_preview import write_preview

    store, output = open_any(settings.dataset, settings.photos), settings.output
    if isinstance(store, DatasetStore):
        tell(telling.missing_photos(store))
        write_preview(store, output, settings.rows, settings.flows)
    elif settings.flows is not None:
        raise PipelineError(f"{settings.dataset} holds flow of videos, and --flows is for pairs. Leave it out.")
    elif output.suffix.lower() == ".mp4":
        write_flow_video(store, output)
    else:
        write_png(output, np.asarray(flow_sheet(store, settings.rows)))
    typer.echo(str(output.resolve()))


@app.command(
    "report",
    examples=(
        "pipeline report dutsv2.zarr --output report.html",
        "pipeline report slim --photos DUTS --output report.html",
    ),
)
@takes(ReportSettings)
def report_command(settings: ReportSettings) -> None:
    """Make an HTML page about a dataset or the flow of videos: pictures, statistics of flow, provenance."""
    from pipeline.dataset.flow_store import open_any
    from pipeline.dataset.store import DatasetStore
    from pipeline.showing.flow_report import write_flow_report
    from pipeline.showing.report import write_report

    store, output = open_any(settings.dataset, settings.photos), settings.output
    refuse_other_file(output, b"<!doctype html", "page")
    with ProgressLine("samples") as line:
        if isinstance(store, DatasetStore):
            tell(telling.missing_photos(store))
            write_report(store, output, line)
        else:
            write_flow_report(store, output, line)
    typer.echo(str(output.resolve()))


@app.command("view", examples=("pipeline view dutsv2.zarr", "pipeline view s3://bucket/dutsv2 --port 9000"))
@takes(ViewSettings)
def view_command(settings: ViewSettings) -> None:
    """Look at the samples of a dataset in a browser on this machine; Ctrl-C ends it."""
    from pipeline.viewing.server import view

    view(settings.dataset, settings.photos, settings.port, typer.echo)


@app.command(
    "import", examples=("pipeline import DUTSv2 dutsv2.zarr", "pipeline import DUTSv2 dutsv2.zarr --longest 30")
)
@takes(ImportCommandSettings)
def import_command(settings: ImportCommandSettings) -> None:
    """Make a dataset of ready-made flow pictures (only direction and relative length), or continue one."""
    from pipeline.making.import_tree import import_tree

    dataset = settings.dataset
    refuse_as_output(dataset)
    sizes = ImportSettings(max_side=settings.max_side, longest_px=settings.longest_px)
    with ProgressLine("photos") as line:
        summary = import_tree(settings.tree, dataset, sizes, line, settings.retry_failed)
    for note in summary.listing_notes:
        typer.echo(f"note: {note}", err=True)
    failed = len(summary.failures)
    typer.echo(f"{dataset}: {summary.photos - failed} of {summary.photos} photos usable, {summary.photos_made_now} now")
    tell(telling.failed_photos(dataset, summary.failures))
    if failed:
        raise typer.Exit(TOO_MANY_FAILURES)


@app.command("depth", examples=("pipeline depth --input photo.jpg --output depth.png",))
@takes(DepthSettings)
def depth_command(settings: DepthSettings) -> None:
    """Estimate the depth of one photo: 65535 = nearest, 0 = farthest."""
    from pipeline.showing.depth_picture import draw_depth

    for path in draw_depth(settings.photo, settings.output, settings.depth_model, settings.device):
        typer.echo(str(path.resolve()))


def run_command_line() -> None:
    """Run the command line; an error of the user is printed as one sentence, with exit code 1."""
    redact_output(sys.argv[1:])
    try:
        app(standalone_mode=True)
    except Exception as error:
        if not is_user_error(error):
            raise
        sys.exit(f"error: {error}")


def is_user_error(error: Exception) -> bool:
    """Return whether the text of an error is meant for the user."""
    from depth import DepthError  # light, unlike the estimator

    return isinstance(error, (PipelineError, DepthError))
