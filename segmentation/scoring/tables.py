"""Tables of scores for the terminal."""

from collections.abc import Mapping

from rich.table import Table

from pipeline.engine.placement import count_of
from segmentation.scoring.metrics import Statistics
from segmentation.scoring.published import Published
from segmentation.scoring.score import Scores


def score_table(scores: Scores) -> Table:
    """Return a table of scores in percent: one line per sequence, then the means."""
    protocol = scores.protocol
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
    for sequence in scores.sequences:
        table.add_row(sequence.name, str(len(sequence.frames)), *_cells(sequence.statistics))
    for name, mean in scores.classes.items():
        table.add_section() if name == next(iter(scores.classes)) else None
        table.add_row(f"class {name}", "", *_cells(mean))
    if scores.classes:
        table.add_row("mean over classes", "", *_cells(scores.mean_over_classes), style="bold")
    table.add_section()
    frames = sum(len(sequence.frames) for sequence in scores.sequences)
    table.add_row(
        f"mean of {count_of(len(scores.sequences), 'sequence')}", str(frames), *_cells(scores.mean), style="bold"
    )
    return table


def _cells(measures: dict[str, Statistics]) -> list[str]:
    cells = [f"{100 * value:.1f}" for m in measures.values() for value in (m.mean, m.recall, m.decay)]
    if "F" in measures:
        cells.append(f"{50 * (measures['J'].mean + measures['F'].mean):.1f}")
    return cells


def comparison_table(scores_by_dataset: Mapping[str, Scores], own_name: str, published: Published) -> Table:
    """Return a table of own and published means in percent; unknown figures are blank.

    Args:
        scores_by_dataset: scores of the network, by name of the dataset.
        own_name: name of the row of own scores.
        published: published figures.
    """
    columns = [(name, measure) for name, scores in scores_by_dataset.items() for measure in _means(scores)]
    notes = [
        f"{name}: {len(scores.sequences)} of the {published.sequences[name]} sequences that others are scored on"
        for name, scores in scores_by_dataset.items()
        if len(scores.sequences) != published.sequences.get(name, len(scores.sequences))
    ]
    caption = "; ".join([*notes, "blank: no source at hand; sources in segmentation/scoring/published.json"])
    table = Table(title="beside published figures (mean, in %)", caption=caption)
    table.add_column("method")
    for name, measure in columns:
        table.add_column(f"{name} {measure}", justify="right")
    own = {name: _means(scores) for name, scores in scores_by_dataset.items()}
    table.add_row(own_name, *(f"{own[name][measure]:.1f}" for name, measure in columns), style="bold")
    table.add_section()
    for method in published.methods:
        figures = [method.figures.get(name, {}).get(measure) for name, measure in columns]
        table.add_row(method.name, *("" if value is None else f"{value:.1f}" for value in figures))
    return table


def _means(scores: Scores) -> dict[str, float]:
    """Return the means over sequences in percent, by measure."""
    means = {measure: 100 * values.mean for measure, values in scores.mean.items()}
    return means | ({"J&F": (means["J"] + means["F"]) / 2} if "F" in means else {})
