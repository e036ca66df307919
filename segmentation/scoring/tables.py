"""Tables of scores for the terminal."""

from collections.abc import Mapping

from rich.table import Table

from pipeline.engine.placement import count_of
from segmentation.scoring.metrics import Statistics
from segmentation.scoring.published import Published
from segmentation.scoring.score import Report


def score_table(report: Report) -> Table:
    """Return a table of scores in percent: one line per sequence, then the means."""
    protocol = report.protocol
    measures = ["J", "F"] if protocol.with_boundaries else ["J"]
    said = protocol.definition
    caption = f"{said['frames']}; empty ground truth: {said['empty ground truth']}; means {said['means']}"
    table = Table(title=f"{protocol.name} (in %)", caption=caption)
    table.add_column("sequence")
    table.add_column("frames", justify="right")
    for measure in measures:
        for statistic in ("mean", "recall", "decay"):
            table.add_column(f"{measure} {statistic}", justify="right")
    if protocol.with_boundaries:
        table.add_column("J&F", justify="right")
    for sequence in report.sequences:
        table.add_row(sequence.name, str(len(sequence.frames)), *_cells(sequence.statistics))
    for name, mean in report.classes.items():
        table.add_section() if name == next(iter(report.classes)) else None
        table.add_row(f"class {name}", "", *_cells(mean))
    if report.classes:
        table.add_row("mean over classes", "", *_cells(report.mean_over_classes), style="bold")
    table.add_section()
    frames = sum(len(sequence.frames) for sequence in report.sequences)
    table.add_row(
        f"mean of {count_of(len(report.sequences), 'sequence')}", str(frames), *_cells(report.mean), style="bold"
    )
    return table


def _cells(measures: dict[str, Statistics]) -> list[str]:
    cells = [f"{100 * value:.1f}" for m in measures.values() for value in (m.mean, m.recall, m.decay)]
    if "F" in measures:
        cells.append(f"{50 * (measures['J'].mean + measures['F'].mean):.1f}")
    return cells


def comparison_table(reports: Mapping[str, Report], own_name: str, published: Published) -> Table:
    """Return a table of own and published means in percent; unknown figures are blank.

    Args:
        reports: own scores by name of the dataset.
        own_name: name of the row of own scores.
        published: published figures.
    """
    columns = [(name, measure) for name, report in reports.items() for measure in _means(report)]
    notes = [
        f"{name}: {len(report.sequences)} of the {published.sequences[name]} sequences that others are scored on"
        for name, report in reports.items()
        if len(report.sequences) != published.sequences.get(name, len(report.sequences))
    ]
    caption = "; ".join([*notes, "blank: no source at hand; sources in segmentation/scoring/published.json"])
    table = Table(title="beside published figures (mean, in %)", caption=caption)
    table.add_column("method")
    for name, measure in columns:
        table.add_column(f"{name} {measure}", justify="right")
    own = {name: _means(report) for name, report in reports.items()}
    table.add_row(own_name, *(f"{own[name][measure]:.1f}" for name, measure in columns), style="bold")
    table.add_section()
    for method in published.methods:
        figures = [method.figures.get(name, {}).get(measure) for name, measure in columns]
        table.add_row(method.name, *("" if value is None else f"{value:.1f}" for value in figures))
    return table


def _means(report: Report) -> dict[str, float]:
    """Return the means over sequences in percent, by measure."""
    means = {measure: 100 * values.mean for measure, values in report.mean.items()}
    return means | ({"J&F": (means["J"] + means["F"]) / 2} if "F" in means else {})
