"""Scores as a table on the terminal."""

from rich.table import Table

from segmentation.metrics import Statistics
from segmentation.scoring import Report


def score_table(report: Report) -> Table:
    """Lay out a report: one line per sequence, then the means; all in percent."""
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
    table.add_row(f"mean of {len(report.sequences)} sequences", str(frames), *_cells(report.mean), style="bold")
    return table


def _cells(measures: dict[str, Statistics]) -> list[str]:
    cells = [f"{100 * value:.1f}" for m in measures.values() for value in (m.mean, m.recall, m.decay)]
    if "F" in measures:
        cells.append(f"{50 * (measures['J'].mean + measures['F'].mean):.1f}")
    return cells
