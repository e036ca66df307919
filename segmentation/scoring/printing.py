"""Results of a command: tables on the terminal, and JSON files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline.files.whole_files import write_whole
from pipeline.redaction import redacted
from segmentation.errors import writing
from segmentation.scoring.score import Scores
from segmentation.scoring.tables import score_table


def show_table(table: Table) -> None:
    """Print a table, 120 columns wide if the output is no terminal, so that nothing is cut off in logs."""
    console = Console()
    if not console.is_terminal:
        console.width = 120
    console.print(table)


def show_scores(scores: Scores) -> None:
    """Print scores, and on the error stream notes on sequences and frames that were left out."""
    show_table(score_table(scores))
    if scores.saliency:
        Console(soft_wrap=True).print(
            "soft masks: " + ", ".join(f"{name} {value:.4f}" for name, value in scores.saliency.items())
        )
    for note in scores.notes:
        Console(stderr=True, soft_wrap=True).print(f"note: {note}", highlight=False, markup=False)


def write_json(content: Mapping[str, Any], path: Path) -> None:
    """Write a JSON file whole or not at all, without credentials.

    Raises:
        SegmentationError: the file cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, (json.dumps(redacted(dict(content)), indent=1) + "\n").encode())
