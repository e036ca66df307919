"""The `pipeline` command."""

from __future__ import annotations

import sys
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pipeline.command.options import make_app, options_of, stoppable
from pipeline.command.progress import ProgressLine
from pipeline.command.stopping import INTERRUPTED, stopped_by_signals
from pipeline.engine.placement import count_of
from pipeline.errors import PipelineError, UnusablePhoto
from pipeline.files.ids import shown
from pipeline.files.places import refuse_as_output
from pipeline.making.config import DEFAULT_DEPTH_MODEL, RunConfig, load_config
from pipeline.redaction import redact_output

if TYPE_CHECKING:
    from pipeline.dataset.commits import Failure

app = make_app("Turn photos with masks into a Zarr dataset of image-flow-mask triplets.")
TOO_MANY_FAILURES = 3
BROKEN = 4
LISTED_FINDINGS = 50


@app.command("run")
@options_of(RunConfig)
def run_command(
    config: Annotated[Path | None, typer.Option("--config", help="TOML file with any of these settings.")] = None,
    **given: Any,
) -> None:
    """Make a dataset, or continue one: the same command again does what is missing."""
    settings = load_config(given, config)
    refuse_as_output(settings.output)
    from pipeline.making.run import run

    with stoppable(), ProgressLine("photos") as line:
        summary = run(settings, line)
    for note in summary.manifest_notes:
        typer.echo(f"note: {note}", err=True)
    failed = len(summary.failures)
    made = summary.photos_made_now
    now = f"{made} in this run" + (f" at {line.rate}" if line.rate else "")
    typer.echo(f"{settings.output}: {summary.photos - failed} of {summary.photos} photos usable, {now}")
    tell_failures(settings.output, summary.failures)
    typer.echo(f"Look at it:  pipeline preview {quote(settings.output)} --output preview.png")
    if failed > settings.max_failures:
        typer.echo(f"{count_of(failed, 'photo')} failed; --max-failures allows {settings.max_failures}.", err=True)
        raise typer.Exit(TOO_MANY_FAILURES)


def tell_failures(dataset: str, failures: tuple[Failure, ...]) -> None:
    """Print how many photos failed for which reason, and what to do."""
    from pipeline.making.run import reasons

    for reason, count in reasons(failures):
        typer.echo(f"  {count} failed: {reason}")
    if failures:
        typer.echo(f"  which and why:     pipeline status {quote(dataset)} --failures")
        typer.echo("  after the repair:  the same command with --retry-failed")


Dataset = Annotated[str, typer.Argument(help="A dataset; folder or URL.")]


@app.command("status")
def status_command(
    dataset: Dataset,
    failures: Annotated[bool, typer.Option("--failures", help="List every photo that could not be used.")] = False,
) -> None:
    """Say how far a dataset is, and what it was made with; of photos or the flow of videos."""
    from pipeline.dataset.flow_store import open_any
    from pipeline.dataset.provenance import origin
    from pipeline.dataset.store import DatasetStore

    store = open_any(dataset)
    if not isinstance(store, DatasetStore):
        from pipeline.showing.flow_preview import status_lines

        typer.echo("\n".join(status_lines(store)))
        return
    layout, committed, failed = store.layout, store.committed(), store.failures()
    samples = sum(len(layout.rows(shard)) for shard in committed)
    state = "complete" if len(committed) == layout.shards else "incomplete: run the same command again to continue"
    typer.echo(f"{dataset}: {state}")
    typer.echo(f"  shards    {len(committed)} of {layout.shards} ({layout.samples_per_shard} samples each)")
    typer.echo(
        f"  samples   {samples} of {layout.samples}, of these {samples - len(failed)} usable, {len(failed)} failed"
    )
    typer.echo(f"  canvas    {layout.side} x {layout.side} px, {count_of(layout.motions, 'motion')} per photo")
    for what, words in origin(store.attributes):
        typer.echo(f"  {what:<9} {words}")
    if failures:
        for failure in failed:
            typer.echo("\t".join(map(shown, (failure.id, failure.reason, failure.message))))


@app.command("verify")
def verify_command(
    dataset: Dataset,
    all_rows: Annotated[
        bool, typer.Option("--all", help="Compare the values of every sample; else of 256, evenly spread.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Drop what is broken, so that the same run makes it again.")
    ] = False,
) -> None:
    """Check every file's checksum, the schema and the values; flow is made again from the stored motion."""
    from pipeline.checking import verify

    try:
        with ProgressLine("checked") as line:
            result = verify.verify(dataset, line, all_rows)
    except KeyboardInterrupt:
        typer.echo("Stopped; nothing was changed.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    for finding in result.findings[:LISTED_FINDINGS]:
        whose = " to ".join(dict.fromkeys([*finding.ids[:1], *finding.ids[-1:]]))
        whose = f" (sample{'s' * (len(finding.ids) > 1)} {whose})" if whose else ""
        typer.echo(shown(f"{finding.key}{whose}: {finding.problem}"))
    if len(result.findings) > LISTED_FINDINGS:
        typer.echo(f"... and {len(result.findings) - LISTED_FINDINGS} more")
    for note in result.notes:
        typer.echo(f"note: {note}")
    shards = count_of(result.shards - result.missing_shards, "shard")
    done = f"{count_of(result.objects, 'object')} of {shards} by checksum"
    done += f", {count_of(result.rows_compared, 'sample')} by value"
    if result.is_whole:
        typer.echo(f"{dataset}: intact; {done}")
        return
    if result.findings:
        typer.echo(f"{dataset}: {count_of(len(result.findings), 'finding')}; {done}", err=True)
    if result.missing_shards:
        missing = f"{result.missing_shards} of {count_of(result.shards, 'shard')} not made yet"
        typer.echo(f"{dataset}: {missing}; run the command that made the dataset again", err=True)
    if repair and result.findings:
        from pipeline.checking.repair import repair as repair_dataset

        for sentence in repair_dataset(dataset, result, lambda sentence: typer.echo(sentence, err=True)):
            typer.echo(sentence)
    elif result.findings:
        typer.echo("Drop what is broken with --repair, then run the command that made the dataset again.", err=True)
    raise typer.Exit(BROKEN)


@app.command("publish")
def publish_command(
    dataset: Dataset,
    destination: Annotated[str, typer.Argument(help="Folder or URL: s3://bucket/name, hf://datasets/user/name.")],
) -> None:
    """Copy a complete dataset, verified, with manifest and card; it becomes visible when all of it is there."""
    from pipeline.sharing.publish import publish

    refuse_as_output(destination)
    try:
        with ProgressLine("files") as line:
            summary = publish(dataset, destination, line)
    except KeyboardInterrupt:
        typer.echo("Stopped; nothing is visible yet. The same command continues.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    typer.echo(f"{destination}: {count_of(summary.files, 'file')}, {summary.size:,} bytes; {summary.copied} copied now")
    typer.echo(f"Check it there:  pipeline verify {quote(destination)}")


@app.command("info")
def info_command(dataset: Dataset) -> None:
    """Show on one screen what a dataset holds and how it was made."""
    from pipeline.showing.status import describe

    typer.echo(describe(dataset))


@app.command("preview")
def preview_command(
    dataset: Dataset,
    output: Annotated[Path, typer.Option(help="PNG file to write; for the flow of one video also MP4.")] = Path(
        "preview.png"
    ),
    rows: Annotated[int, typer.Option(help="Number of photos or videos, evenly spread.", min=1)] = 8,
) -> None:
    """Draw a contact sheet: photo, inverse depth, flow in colour, mask; or the flow of videos in colour."""
    import numpy as np

    from pipeline.dataset.flow_store import open_any
    from pipeline.dataset.store import DatasetStore
    from pipeline.files.pictures import write_png
    from pipeline.showing.flow_preview import flow_sheet, write_flow_video
    from pipeline.showing.preview import contact_sheet

    store = open_any(dataset)
    if isinstance(store, DatasetStore):
        write_png(output, np.asarray(contact_sheet(store, rows)))
    elif output.suffix.lower() == ".mp4":
        write_flow_video(store, output)
    else:
        write_png(output, np.asarray(flow_sheet(store, rows)))
    typer.echo(str(output.resolve()))


@app.command("report")
def report_command(
    dataset: Dataset,
    output: Annotated[Path, typer.Option(help="HTML file to write; it needs no other file.")] = Path("report.html"),
) -> None:
    """Make a page about a dataset or the flow of videos: pictures, flow statistics, how it was made."""
    from pipeline.dataset.flow_store import open_any
    from pipeline.dataset.store import DatasetStore
    from pipeline.showing.flow_report import write_flow_report
    from pipeline.showing.report import write_report

    store = open_any(dataset)
    with stoppable(), ProgressLine("samples") as line:
        if isinstance(store, DatasetStore):
            write_report(store, output, line)
        else:
            write_flow_report(store, output, line)
    typer.echo(str(output.resolve()))


@app.command("export")
def export_command(
    dataset: Dataset,
    folder: Annotated[Path, typer.Argument(help="Folder to make or to continue.")],
) -> None:
    """Write a dataset as JPEGImages, JPEGFlows and Annotations, which the original training code reads."""
    from pipeline.dataset.store import DatasetStore
    from pipeline.sharing.export import export_tree

    with stoppable(), ProgressLine("samples") as line:
        summary = export_tree(DatasetStore.open(dataset), folder, line)
    typer.echo(f"{folder}: {count_of(summary.samples, 'sample')}, {summary.written_now} written now")
    if summary.left_out:
        which = f"pipeline status {quote(dataset)} --failures"
        typer.echo(f"  {count_of(summary.left_out, 'failed photo')} left out: {which}")
    for sample_id, why in summary.failures[:LISTED_FINDINGS]:
        typer.echo(f"  not written: {shown(sample_id) or '(no id)'}: {shown(why)}")
    if summary.failures:
        typer.echo(f"{folder}: {count_of(len(summary.failures), 'sample')} could not be written", err=True)
        raise typer.Exit(TOO_MANY_FAILURES)


@app.command("import")
def import_command(
    tree: Annotated[str, typer.Argument(help="A tree of JPEGImages, JPEGFlows and Annotations; folder or URL.")],
    dataset: Annotated[str, typer.Argument(help="The Zarr dataset to make or to continue; folder or URL.")],
    longest: Annotated[
        float, typer.Option(help="Length that the longest vector of each picture gets, pixels; pictures do not say it.")
    ] = 20.0,
    max_side: Annotated[int, typer.Option(help="As for `pipeline run`.")] = 400,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="As for `pipeline run`.")] = False,
) -> None:
    """Make a dataset of ready-made flow pictures (direction and relative length alone), or continue one."""
    from pipeline.making.import_tree import ImportSettings, import_tree

    refuse_as_output(dataset)
    settings = ImportSettings(max_side=max_side, longest_px=longest)
    with stoppable(), ProgressLine("photos") as line:
        summary = import_tree(tree, dataset, settings, line, retry_failed)
    for note in summary.manifest_notes:
        typer.echo(f"note: {note}", err=True)
    failed = len(summary.failures)
    typer.echo(f"{dataset}: {summary.photos - failed} of {summary.photos} photos usable, {summary.photos_made_now} now")
    tell_failures(dataset, summary.failures)
    if failed:
        raise typer.Exit(TOO_MANY_FAILURES)


@app.command("depth")
def depth_command(
    photo: Annotated[Path, typer.Option("--input", help="One photo.")],
    output: Annotated[Path, typer.Option(help="16-bit PNG to write; beside it, a coloured -preview.png.")],
    depth_model: Annotated[str, typer.Option(help="As for `pipeline run`.")] = DEFAULT_DEPTH_MODEL,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="As for `pipeline run`.")] = "auto",
) -> None:
    """Look at the depth of one photo: 65535 = nearest, 0 = farthest."""
    import numpy as np

    from depth import DepthEstimator
    from pipeline.engine.placement import local_share
    from pipeline.files.pictures import write_png
    from pipeline.files.regular_files import read_file
    from pipeline.photos.decoding import decode_photo
    from pipeline.showing.preview import depth_in_colour

    try:
        pixels = decode_photo(read_file(photo))
    except OSError as error:
        raise PipelineError(f"{photo}: cannot be read ({error.strerror or error}); expected one photo.") from None
    except UnusablePhoto as error:
        raise PipelineError(f"{photo}: {error}") from None
    (inverse_depth,) = DepthEstimator.load(depth_model, device=local_share(device).device)([pixels])
    if not np.isfinite(inverse_depth).all():
        raise PipelineError(f"{photo}: {depth_model} gave values that are not finite.")
    preview = output.with_name(f"{output.stem}-preview.png")
    pictures = (
        (output, np.rint(inverse_depth * 65535).astype(np.uint16)),
        (preview, np.hstack([pixels, depth_in_colour(inverse_depth)])),
    )
    for path, picture in pictures:
        write_png(path, picture)
        typer.echo(str(path.resolve()))


def main() -> None:
    """Run the command line; a user's error is one sentence and exit code 1."""
    redact_output(sys.argv[1:])
    try:
        with stopped_by_signals():
            app(standalone_mode=True)
    except Exception as error:
        if not is_user_error(error):
            raise
        sys.exit(f"error: {error}")


def is_user_error(error: Exception) -> bool:
    """Tell whether an error's text is meant for the user."""
    from depth import DepthError  # light, unlike the estimator

    return isinstance(error, (PipelineError, DepthError))


if __name__ == "__main__":
    main()
