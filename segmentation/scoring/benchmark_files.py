"""The table of a benchmark in Markdown, HTML and JSON, with what its figures were made from."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from pipeline.files.ids import shown
from pipeline.files.whole_files import write_whole
from segmentation.errors import writing
from segmentation.scoring.benchmark import THRESHOLD, Entry
from segmentation.scoring.printing import write_json
from segmentation.scoring.published import load_published

_HEADS = ("protocol", "method", "J", "F", "J&F", "sequences", "frames", "missing", "flow", "masks")
_NUMBERS = frozenset({"J", "F", "J&F", "sequences", "frames", "missing"})
_SPECIAL = re.compile(r"[\\`*\[\]|~<>]|&(?=#?\w+;)|^[#+-]|(?<![^\W_])_|_(?![^\W_])")
"""Characters that Markdown takes for markup; it does not take an underscore between letters or digits for it."""
_LEVEL = math.ceil(THRESHOLD * 255)


@dataclass(frozen=True)
class _Report:
    """What all forms of the table say."""

    rows: list[tuple[str, ...]]
    notes: list[str]


def write_benchmark(entries: Sequence[Entry], output: Path) -> Iterator[str]:
    """Write `benchmark.md`, `.html` and `.json`; yield the path of each as soon as it is written.

    Raises:
        SegmentationError: a file cannot be written.
    """
    report = _Report([_row(entry) for entry in _ordered(entries)], list(_notes(entries)))
    for name, content in (("benchmark.md", _markdown(report)), ("benchmark.html", _html(report))):
        with writing(output / name):
            output.mkdir(parents=True, exist_ok=True)
            write_whole(output / name, content.encode())
        yield str((output / name).resolve())
    write_json({"fakeflow": version("fakeflow"), "entries": [_as_json(e) for e in entries]}, output / "benchmark.json")
    yield str((output / "benchmark.json").resolve())


def _ordered(entries: Sequence[Entry]) -> list[Entry]:
    """Order the methods of each protocol: complete ones by score, then those with missing frames, then the others."""
    protocols = list(dict.fromkeys(entry.protocol.name for entry in entries))

    def rank(entry: Entry) -> tuple[int, int, float]:
        figures = _means(entry)
        state = 2 if entry.scores is None else int(entry.scores.missing > 0)
        return protocols.index(entry.protocol.name), state, -figures.get("J&F", figures.get("J", 0.0))

    return sorted(entries, key=rank)


def _row(entry: Entry) -> tuple[str, ...]:
    means = _means(entry)
    figures, counted = ["not scored", "", ""], ["", "", ""]
    if entry.scores is not None:
        figures = [f"{means[name]:.1f}" if name in means else "" for name in ("J", "F", "J&F")]
        counted = [str(len(entry.scores.sequences)), str(entry.frames), str(entry.scores.missing)]
    flow = entry.flow or "not stated"
    return (entry.protocol.name, entry.method, *figures, *counted, flow, str(entry.masks))


def _means(entry: Entry) -> dict[str, float]:
    """Return the means over sequences in percent, by measure."""
    if entry.scores is None:
        return {}
    means = {measure: 100 * values.mean for measure, values in entry.scores.mean.items()}
    return means | ({"J&F": (means["J"] + means["F"]) / 2} if "F" in means else {})


def _notes(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield sentences on what the figures mean and what is wrong with them."""
    usual = load_published().sequences
    for entry in {each.protocol.name: each for each in entries}.values():
        said, number = entry.protocol.definition, usual.get(entry.protocol.dataset, entry.sequences)
        yield (
            f"{entry.protocol.name}: {entry.dataset}; {said['measures']}, {said['frames']}; empty ground truth: "
            f"{said['empty ground truth']}; means {said['means']}. Source: {said['source']}."
        )
        if entry.sequences != number:
            yield f"{entry.protocol.name}: the dataset at hand has {entry.sequences} of the usual {number} sequences."
    for entry in entries:
        place = f"{entry.method}, {entry.protocol.name}"
        if entry.problem:
            yield f"{place}: not scored: {entry.problem}."
        elif entry.scores is not None:
            if entry.scores.mean_over_classes:
                yield f"{place}: mean over classes J {100 * entry.scores.mean_over_classes['J'].mean:.1f}."
            yield from (f"{place}: {note}." for note in entry.scores.notes)
    if any(entry.scores is not None and entry.scores.missing for entry in entries):
        yield (
            "A method with missing frames is scored on the others alone; its figures cannot be compared with those of "
            "complete methods."
        )
    yield (
        f"J, F and J&F are means in percent. Grey levels from {_LEVEL} on are object. Flow is what fakeflow wrote "
        f"beside the masks. Scored by fakeflow {version('fakeflow')}."
    )


def _markdown(report: _Report) -> str:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    rule = line(["---:" if head in _NUMBERS else "---" for head in _HEADS])
    rows = [line([_escaped(cell) for cell in row]) for row in report.rows]
    notes = [f"- {_escaped(note)}" for note in report.notes]
    return "\n".join(["# Benchmark", "", line(_HEADS), rule, *rows, "", *notes, ""])


def _html(report: _Report) -> str:
    def cells(tag: str, row: Sequence[str]) -> str:
        kinds = (' class="number"' if head in _NUMBERS else "" for head in _HEADS)
        return "".join(
            f"<{tag}{kind}>{html.escape(shown(cell))}</{tag}>" for kind, cell in zip(kinds, row, strict=True)
        )

    template = Template((files("segmentation.scoring") / "benchmark_page.html").read_text(encoding="utf-8"))
    return template.substitute(
        heads=cells("th", _HEADS),
        rows="\n".join(f"<tr>{cells('td', row)}</tr>" for row in report.rows),
        notes="\n".join(f"<li>{html.escape(shown(note))}</li>" for note in report.notes),
    )


def _escaped(text: str) -> str:
    """Return a text on one line that Markdown shows as it is."""
    return _SPECIAL.sub(r"\\\g<0>", shown(text))


def _as_json(entry: Entry) -> dict[str, Any]:
    scores = {} if entry.scores is None else {**entry.scores.as_json(), "missing frames": entry.scores.missing}
    return {
        "method": entry.method,
        "protocol": entry.protocol.name,
        "dataset": entry.dataset,
        "masks": str(entry.masks),
        "flow": entry.flow,
        "threshold": THRESHOLD,
        "problem": entry.problem,
        "frames": entry.frames,
        "scores": scores,
    }
