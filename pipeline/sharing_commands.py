"""The commands of `pipeline` that share a dataset: its recipe, a published copy, trees for other programs."""

from __future__ import annotations

from shlex import quote

import typer

from pipeline.command.options import Program, takes
from pipeline.command.progress import ProgressLine
from pipeline.command.stopping import INTERRUPTED
from pipeline.command_settings import ExportSettings, PublishSettings, RecipeSettings
from pipeline.engine.placement import count_of
from pipeline.files.ids import shown
from pipeline.files.places import refuse_as_output, refuse_other_file
from pipeline.telling import LISTED_FINDINGS, TOO_MANY_FAILURES


def add_commands(app: Program) -> None:
    """Add the commands to a program."""
    app.command(
        "recipe",
        examples=(
            "pipeline recipe dutsv2.zarr dutsv2.recipe.json",
            "pipeline recipe dutsv2.zarr s3://bucket/dutsv2.recipe.json",
        ),
    )(recipe_command)
    app.command(
        "publish",
        examples=(
            "pipeline publish dutsv2.zarr s3://bucket/dutsv2",
            "pipeline publish dutsv2.zarr published",
            "pipeline publish dutsv2.zarr slim --without images",
        ),
    )(publish_command)
    app.command(
        "export", examples=("pipeline export dutsv2.zarr DUTSv2", "pipeline export pairs.zarr trees --layout sintel")
    )(export_command)


@takes(RecipeSettings)
def recipe_command(settings: RecipeSettings) -> None:
    """Write the recipe of a dataset: a small file from which the dataset can be made again from the same photos."""
    from pipeline.dataset.store import DatasetStore
    from pipeline.recipe.recipe import BEGINNING
    from pipeline.recipe.writing import recipe_of, write_recipe

    refuse_as_output(settings.recipe)
    refuse_other_file(settings.recipe, BEGINNING, "recipe")
    with ProgressLine("samples") as line:
        recipe = recipe_of(DatasetStore.open(settings.dataset), line)
    size = write_recipe(recipe, settings.recipe)
    photos = len(recipe.ids)
    typer.echo(f"{settings.recipe}: {count_of(photos, 'photo')}, {size:,} bytes, {size / photos:.0f} per photo")
    typer.echo(f"Make it again:  pipeline run --recipe {quote(settings.recipe)} --input PHOTOS --output NEW.zarr")


@takes(PublishSettings)
def publish_command(settings: PublishSettings) -> None:
    """Verify and copy a complete dataset, with manifest and card; it becomes visible when the copy is complete."""
    from pipeline.sharing.publish import publish

    destination = settings.destination
    refuse_as_output(destination)
    try:
        with ProgressLine("files") as line:
            summary = publish(settings.dataset, destination, line, with_images=settings.without is None)
    except KeyboardInterrupt:
        typer.echo("Stopped; nothing is visible yet. The same command continues.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    typer.echo(f"{destination}: {count_of(summary.files, 'file')}, {summary.size:,} bytes; {summary.copied} copied now")
    typer.echo(f"Check it there:  pipeline verify {quote(destination)}")


@takes(ExportSettings)
def export_command(settings: ExportSettings) -> None:
    """Write a dataset as a folder tree that other programs read."""
    from pipeline.dataset.store import DatasetStore
    from pipeline.sharing.export import export_tree

    dataset, folder = settings.dataset, settings.folder
    with ProgressLine("samples") as line:
        summary = export_tree(DatasetStore.open(dataset, settings.photos), folder, line, settings.layout)
    typer.echo(f"{folder}: {count_of(summary.samples, 'sample')}, {summary.written_now} written now")
    if summary.left_out:
        which = f"pipeline status {quote(dataset)} --failures"
        typer.echo(f"  {count_of(summary.left_out, 'failed photo')} left out: {which}")
    for sample_id, why in summary.failures[:LISTED_FINDINGS]:
        typer.echo(f"  not written: {shown(sample_id) or '(no id)'}: {shown(why)}")
    if summary.failures:
        typer.echo(f"{folder}: {count_of(len(summary.failures), 'sample')} could not be written", err=True)
        raise typer.Exit(TOO_MANY_FAILURES)
