"""Plots of scores over time."""

import math
from pathlib import Path

from segmentation.errors import SegmentationError
from segmentation.scoring.score import Scores

_COLUMNS = 4
_PANEL_INCHES = (3.2, 1.7)
_REGION_COLOR, _CONTOUR_COLOR, _MEAN_COLOR = "#1f5fa8", "#e08a1e", "#888888"


def plot_scores_over_time(scores: Scores, path: Path) -> None:
    """Draw J (and F) of every frame over time, one panel per sequence, the worst sequence first.

    Args:
        scores: scores to draw.
        path: image file to write, in the format of its extension.

    Raises:
        SegmentationError: the file cannot be written.
    """
    from matplotlib.figure import Figure  # no pyplot: no display, no global state

    sequences = sorted(scores.sequences, key=lambda sequence: float(sequence.J.mean()))
    columns = min(_COLUMNS, len(sequences))
    rows = math.ceil(len(sequences) / columns)
    figure = Figure(figsize=(_PANEL_INCHES[0] * columns, _PANEL_INCHES[1] * rows + 0.9), layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for panel, sequence in zip(panels, sequences, strict=False):
        times = range(len(sequence.frames))
        panel.axhline(float(sequence.J.mean()), color=_MEAN_COLOR, linewidth=0.8, linestyle=":")
        if sequence.F is not None:
            panel.plot(times, sequence.F, color=_CONTOUR_COLOR, linewidth=1, label="F", marker="." * (len(times) == 1))
        panel.plot(times, sequence.J, color=_REGION_COLOR, linewidth=1.4, label="J", marker="." * (len(times) == 1))
        panel.set_title(f"{sequence.name}  J {sequence.J.mean():.3f}", fontsize=9)
        panel.set_ylim(0, 1.02)
        panel.grid(alpha=0.25)
        panel.tick_params(labelsize=7)
    for panel in panels[len(sequences) :]:
        panel.set_visible(False)
    figure.suptitle(f"{scores.protocol.name}: scores of every frame (dotted: mean J)", fontsize=11)
    figure.supxlabel("frame that counts, in order of time", fontsize=9)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="upper right", ncols=2, fontsize=9, frameon=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as error:
        raise SegmentationError(
            f"the plot {path} cannot be written: {error}; expected a name such as scores.png"
        ) from error
