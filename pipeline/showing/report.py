"""Report on a dataset of photos: one HTML page, which embeds everything that it shows."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.command.progress import Progress
from pipeline.dataset.commits import Failure
from pipeline.dataset.provenance import origin
from pipeline.dataset.run_log import run_records
from pipeline.dataset.schema import array_specs
from pipeline.dataset.spread import spread
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from pipeline.showing.frame_report import frames_section
from pipeline.showing.preview import columns_of, sample_pictures
from pipeline.showing.report_html import color_legend, figure, figures, image_tag, text_of, write_page
from pipeline.showing.report_measures import (
    MeasuredField,
    flow_quantities,
    mean_directions,
    measure_fields,
    motion_quantities,
    read_motions,
)
from pipeline.showing.report_plots import rose
from pipeline.showing.status import size_in_words

GALLERY = 6
EXAMPLES = 3


class Extreme(NamedTuple):
    """One end of a statistic of flow fields: its name, the statistic, and whether the end is the largest value."""

    name: str
    statistic: str
    is_largest: bool
    unit: str = ""


EXTREMES = (
    Extreme("Most motion", "magnitude_p90_px", True, " px for 90 % of the pixels"),
    Extreme("Least motion", "magnitude_p90_px", False, " px for 90 % of the pixels"),
    Extreme("Object stands out most", "auc", True, " contrast (AUC)"),
    Extreme("Object stands out least", "auc", False, " contrast (AUC)"),
    Extreme("Object moves most, ground least", "object_share", True, " object's share"),
    Extreme("Ground moves most, object least", "object_share", False, " object's share"),
    Extreme("Least coherent", "coherence", False, " coherence"),
)


def write_report(store: DatasetStore, path: Path, progress: Progress) -> None:
    """Write the page: counts, pictures, distributions, failures, rates and settings. It needs no other file.

    The same dataset gives the same page. Without photos, a dataset that was published without images is shown without
    photos, frames and warping errors. Pictures of samples that are evenly spread over the dataset are shown, and
    those of the extremes among the measured fields; up to 240 flow fields are measured.

    Raises:
        PipelineError: the page cannot be written.
    """
    if not path.absolute().parent.is_dir():
        raise PipelineError(f"{path}: there is no folder {path.parent}. Make it, or choose another --output.")
    usable, failures = store.usable_rows(), store.failures()
    progress.announce(f"{len(usable)} usable samples; measuring flow")
    fields = measure_fields(store, usable, progress)
    sections = [
        _head(store, len(usable), len(failures)),
        _gallery(store, usable),
        frames_section(store, usable) if store.shows_photos else "",
        _extremes(store, fields),
        _flow(store, fields),
        _motions(store, usable),
        _failures(failures),
        _runs(list(run_records(store).values())),
        _settings(store),
    ]
    write_page(path, _name(store), len(_columns(store)), sections)


def _name(store: DatasetStore) -> str:
    return store.name.rstrip("/").rpartition("/")[2]


def _head(store: DatasetStore, usable: int, failed: int) -> str:
    layout = store.layout
    made = sum(len(layout.rows(shard)) for shard in store.committed())
    arrays = array_specs(layout).keys()
    stored_bytes = sum(size for key, size in store.storage.sizes().items() if key.partition("/")[0] in arrays)
    tiles = [
        (f"{usable:,}", "usable photos", ""),
        (f"{failed:,}", "failed photos", "bad" if failed else ""),
        (f"{usable * layout.motions:,}", "flow fields", ""),
        (size_in_words(stored_bytes), "stored", ""),
        (size_in_words(stored_bytes / usable) if usable else "–", "per sample", ""),
    ]
    if made < layout.samples:
        tiles.insert(2, (f"{layout.samples - made:,}", "not made yet", "bad"))
    drawn = "".join(f'<div class="tile {kind}"><b>{value}</b>{label}</div>' for value, label, kind in tiles)
    words = [f"{what} {text}" for what, text in origin(store.attributes)]
    subtitle = html.escape(", ".join([*words, f"canvas {layout.side} × {layout.side} px"]))
    return f'<h1>{html.escape(_name(store))}</h1><p class="soft lead">{subtitle}</p><div class="tiles">{drawn}</div>'


def _columns(store: DatasetStore) -> list[str]:
    motions = store.layout.motions
    flows = ["flow"] if motions == 1 else [f"flow {k}" for k in range(motions)]
    return columns_of(store, "inverse depth, bright = near", flows)


def _gallery(store: DatasetStore, usable: NDArray[np.int64]) -> str:
    rows = spread(usable, GALLERY)
    if not rows:
        return ""
    heads = "".join(f'<span class="soft">{name}</span>' for name in _columns(store))
    samples = "".join(_sample(store, row, "") for row in rows)
    intro = "Evenly spread over the dataset. Colour is the direction of flow, saturation its length relative to the "
    intro += "longest vector of the field."
    return (
        f'<h2>Samples</h2><p class="soft">{intro}</p><div class="pictures heads">{heads}</div>{samples}{color_legend()}'
    )


def _extremes(store: DatasetStore, fields: Sequence[MeasuredField]) -> str:
    shown = "".join(
        _sample(store, field.row, f"{extreme.name}: {value:.3g}{extreme.unit}", field.motion)
        for extreme, field, value in _find_extremes(fields)
    )
    intro = "Extremes among the measured fields."
    return f'<h2>Extremes</h2><p class="soft">{intro}</p>{shown}' if shown else ""


def _find_extremes(fields: Sequence[MeasuredField]) -> Iterator[tuple[Extreme, MeasuredField, float]]:
    """Yield the field of each kind of extreme, with its value; no field is given twice."""
    left = list(fields)
    for extreme in EXTREMES:
        values = [getattr(field.statistics, extreme.statistic) for field in left]
        if not np.isfinite(values).any():
            continue
        place = int(np.nanargmax(values) if extreme.is_largest else np.nanargmin(values))
        yield extreme, left.pop(place), values[place]


def _sample(store: DatasetStore, row: int, remark: str, motion: int | None = None) -> str:
    pictures = sample_pictures(store, row, with_photo=store.shows_photos)
    height, width = pictures.size
    which = f", flow {motion}" if motion is not None and store.layout.motions > 1 else ""
    facts = f"{width} × {height}, longest vector {pictures.longest_px:.3g} px"
    lead = f"<b>{html.escape(remark)}</b>{which} · " if remark else ""
    images = "".join(
        image_tag(pixels, f"{name} of {pictures.id}")
        for name, pixels in zip(_columns(store), pictures.all, strict=True)
    )
    label = f'<div class="label">{lead}{text_of(pictures.id)} · {facts}</div>'
    return f'<div class="sample">{label}<div class="pictures">{images}</div></div>'


def _flow(store: DatasetStore, fields: list[MeasuredField]) -> str:
    if not fields:
        return ""
    rows = len({field.row for field in fields})
    intro = f"{len(fields)} fields of {rows} photos, evenly spread. The line marks the median, which is written above."
    if not store.layout.is_simulated:
        intro += " Lengths are relative, because pictures of flow do not store them."
    directions = figure("Direction", "", "Mean over fields, weighted by length.", rose(mean_directions(fields)))
    return f'<h2>Flow</h2><p class="soft">{intro}</p>{figures(flow_quantities(fields), directions)}'


def _motions(store: DatasetStore, usable: NDArray[np.int64]) -> str:
    if not store.layout.is_simulated or not len(usable):
        return ""
    motions = read_motions(store)
    intro = f"Parameters of {len(motions):,} motions in resolved form; those that do not vary are left out. "
    intro += "For values of both signs, the range of the middle 80 % is written above."
    return f'<h2>Motions</h2><p class="soft">{intro}</p>{figures(motion_quantities(motions))}'


def _failures(failures: Sequence[Failure]) -> str:
    if not failures:
        return '<h2>Failures</h2><p class="soft">None.</p>'
    by_reason: dict[str, list[Failure]] = {}
    for failure in failures:
        by_reason.setdefault(failure.reason, []).append(failure)
    lines = "".join(
        f'<tr><td>{html.escape(reason)}</td><td class="number">{len(those):,}</td><td>'
        + "<br>".join(f"<b>{text_of(one.id)}</b> {text_of(one.message)}" for one in those[:EXAMPLES])
        + "</td></tr>"
        for reason, those in sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0]))
    )
    head = '<tr><th>reason</th><th class="number">photos</th><th>for example</th></tr>'
    return f'<h2>Failures</h2><table class="failures">{head}{lines}</table>'


def _runs(records: Sequence[Mapping[str, Any]]) -> str:
    if not records:
        return ""
    lines = "".join(
        f"<tr><td>{html.escape(record['began'])}</td><td>{html.escape(record['ran_on'].removeprefix('running '))}</td>"
        f'<td class="number">{record["photos"]:,}</td><td class="number">{record["seconds"]:,.1f} s</td>'
        f'<td class="number">{record["photos"] / max(record["seconds"], 1e-9):.1f} / s</td></tr>'
        for record in records
    )
    head = '<tr><th>began</th><th>where</th><th class="number">photos</th><th class="number">time</th>'
    head += '<th class="number">rate</th></tr>'
    return f"<h2>Speed</h2><table>{head}{lines}</table>{_stages(records)}"


def _stages(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the seconds per photo of each stage, over all runs, as a bar in HTML."""
    stages: dict[str, float] = {}
    for record in records:
        for stage, seconds in record["stage_seconds"].items():
            stages[stage] = stages.get(stage, 0) + seconds
    total, photos = sum(stages.values()), sum(record["photos"] for record in records)
    if not total:
        return ""
    colors = {stage: f"var(--stage-{number % 5 + 1})" for number, stage in enumerate(stages)}
    bar = "".join(
        f'<div style="width:{100 * seconds / total:.2f}%;background:{colors[stage]}"></div>'
        for stage, seconds in stages.items()
    )
    keys = "".join(
        f'<span><i style="background:{colors[stage]}"></i>{html.escape(stage)} {1000 * seconds / photos:.1f} ms</span>'
        for stage, seconds in stages.items()
    )
    intro = "Time per photo over all runs. Shards overlap, so stages may add up to more than the time above."
    return (
        f'<div class="bar">{bar}</div><div class="keys">{keys}</div><p class="soft" style="margin-top:8px">{intro}</p>'
    )


def _settings(store: DatasetStore) -> str:
    attributes = store.attributes
    shown = {name: value for name, value in attributes.items() if name not in ("settings", "layout", "kind")}
    shown |= {name: value for name, value in attributes["settings"].items() if name != "motion_prior"}
    lines = "".join(
        f"<tr><td>{html.escape(name.replace('_', ' '))}</td><td>{html.escape(str(value))}</td></tr>"
        for name, value in _flat(shown)
        if value is not None
    )
    prior = attributes["settings"].get("motion_prior")
    details = ""
    if prior:
        details = (
            f"<details><summary>Motion prior</summary><pre>{html.escape(json.dumps(prior, indent=1))}</pre></details>"
        )
    return f'<h2>Settings and provenance</h2><table class="settings">{lines}</table>{details}'


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", value
