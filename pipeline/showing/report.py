"""`pipeline report`: one HTML page about a dataset, with everything it shows inside."""

from __future__ import annotations

import html
import io
import json
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from flowsim import flow_to_rgb
from pipeline.command.progress import Progress
from pipeline.dataset.commits import Failure
from pipeline.dataset.provenance import origin
from pipeline.dataset.run_log import run_records
from pipeline.dataset.schema import array_specs
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from pipeline.files.ids import shown
from pipeline.files.whole_files import write_whole
from pipeline.showing.preview import sample_pictures, spread
from pipeline.showing.report_measures import (
    MeasuredField,
    Quantity,
    flow_quantities,
    mean_directions,
    measure_fields,
    motion_quantities,
    read_motions,
)
from pipeline.showing.report_plots import histogram, in_words, rose
from pipeline.showing.sheets import scaled_to
from pipeline.showing.status import size_in_words

GALLERY = 6
PICTURE_SIDE = 300
EXAMPLES = 3


class Extreme(NamedTuple):
    """The field at one end of a statistic: what that end is called, and where the end is."""

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
    """Write the page: counts, pictures, distributions, failures, rates, settings. It refers to no other file.

    The same dataset gives the same page. Pictures are evenly spread over the dataset, beside the extremes of what was
    measured; flow is measured on some hundred fields.

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
        _extremes(store, fields),
        _flow(store, fields),
        _motions(store, usable),
        _failures(failures),
        _runs(list(run_records(store).values())),
        _settings(store),
    ]
    write_page(path, _name(store), len(_columns(store)), sections)


def write_page(path: Path, title: str, columns: int, sections: Sequence[str]) -> None:
    """Write a page of sections, HTML each; empty ones are left out.

    Raises:
        PipelineError: it cannot be written.
    """
    template = Template((files("pipeline.showing") / "report_page.html").read_text(encoding="utf-8"))
    page = template.substitute(
        title=html.escape(title), columns=columns, body="\n".join(part for part in sections if part)
    )
    try:
        write_whole(path, page.encode())
    except OSError as error:
        raise PipelineError(f"{path}: the report cannot be written ({error.strerror or error}).") from error


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
    return ["photo", *(["inverse depth, bright = near"] if store.layout.is_simulated else []), *flows, "mask"]


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


def color_legend() -> str:
    """Return the colour wheel with its directions."""
    side = np.linspace(-1, 1, 121, dtype=np.float32)
    flow = np.stack(np.meshgrid(side, side), -1)
    wheel = np.asarray(flow_to_rgb(flow, 1.0))
    inside = np.hypot(flow[..., 0], flow[..., 1]) <= 1
    picture = Image.fromarray(np.dstack([wheel, np.where(inside, 255, 0).astype(np.uint8)]))
    content = io.BytesIO()
    picture.save(content, "PNG")
    source = f"data:image/png;base64,{b64encode(content.getvalue()).decode()}"
    return (
        f'<p class="soft legend"><img width="60" height="60" alt="colour wheel" src="{source}">'
        "Each point of the wheel has the colour of motion from the centre to it.</p>"
    )


def _extremes(store: DatasetStore, fields: Sequence[MeasuredField]) -> str:
    shown = "".join(
        _sample(store, field.row, f"{extreme.name}: {value:.3g}{extreme.unit}", field.motion)
        for extreme, field, value in _find_extremes(fields)
    )
    intro = "Of the fields that were measured."
    return f'<h2>Extremes</h2><p class="soft">{intro}</p>{shown}' if shown else ""


def _find_extremes(fields: Sequence[MeasuredField]) -> Iterator[tuple[Extreme, MeasuredField, float]]:
    """Return for each kind of extreme the field at that end; none is shown twice."""
    left = list(fields)
    for extreme in EXTREMES:
        values = [getattr(field.statistics, extreme.statistic) for field in left]
        if not np.isfinite(values).any():
            continue
        place = int(np.nanargmax(values) if extreme.is_largest else np.nanargmin(values))
        yield extreme, left.pop(place), values[place]


def _sample(store: DatasetStore, row: int, remark: str, motion: int | None = None) -> str:
    pictures = sample_pictures(store, row)
    height, width = pictures.photo.shape[:2]
    which = f", flow {motion}" if motion is not None and store.layout.motions > 1 else ""
    facts = f"{width} × {height}, longest vector {pictures.longest_px:.3g} px"
    lead = f"<b>{html.escape(remark)}</b>{which} · " if remark else ""
    images = "".join(
        image_tag(pixels, f"{name} of {pictures.id}")
        for name, pixels in zip(_columns(store), pictures.all, strict=True)
    )
    label = f'<div class="label">{lead}{_text(pictures.id)} · {facts}</div>'
    return f'<div class="sample">{label}<div class="pictures">{images}</div></div>'


def image_tag(pixels: NDArray[np.uint8], description: str) -> str:
    """Return a picture as an HTML image that holds its pixels."""
    picture = scaled_to(pixels, min(PICTURE_SIDE, max(pixels.shape[:2])))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=88, subsampling=0)
    source = f"data:image/jpeg;base64,{b64encode(content.getvalue()).decode()}"
    size = f'width="{picture.width}" height="{picture.height}"'
    return f'<img {size} alt="{html.escape(description)}" src="{source}">'


def _flow(store: DatasetStore, fields: list[MeasuredField]) -> str:
    if not fields:
        return ""
    rows = len({field.row for field in fields})
    intro = f"{len(fields)} fields of {rows} photos, evenly spread. The line marks the median, which stands above."
    if not store.layout.is_simulated:
        intro += " Lengths are relative: pictures do not say them."
    directions = figure("Direction", "", "Mean over fields, weighted by length.", rose(mean_directions(fields)))
    return f'<h2>Flow</h2><p class="soft">{intro}</p>{figures(flow_quantities(fields), directions)}'


def _motions(store: DatasetStore, usable: NDArray[np.int64]) -> str:
    if not store.layout.is_simulated or not len(usable):
        return ""
    motions = read_motions(store)
    intro = f"Parameters of {len(motions):,} motions as made; those that do not vary are left out. "
    intro += "Of values of both signs, the range of the middle 80 % stands above."
    return f'<h2>Motions</h2><p class="soft">{intro}</p>{figures(motion_quantities(motions))}'


def figures(quantities: Sequence[Quantity], *more: str) -> str:
    """Return the drawn distributions, and more figures behind them, as HTML."""
    drawn = [
        figure(quantity.name, in_words(quantity), quantity.meaning, picture)
        for quantity in quantities
        if (picture := histogram(quantity))
    ]
    return f'<div class="figures">{"".join([*drawn, *more])}</div>'


def figure(name: str, median: str, meaning: str, picture: str) -> str:
    """Return one figure with its heading, as HTML."""
    head = f"<header><h3>{html.escape(name)}</h3><span>{html.escape(median)}</span></header>"
    return f"<figure>{head}<figcaption>{html.escape(meaning)}</figcaption>{picture}</figure>"


def _failures(failures: Sequence[Failure]) -> str:
    if not failures:
        return '<h2>Failures</h2><p class="soft">None.</p>'
    by_reason: dict[str, list[Failure]] = {}
    for failure in failures:
        by_reason.setdefault(failure.reason, []).append(failure)
    lines = "".join(
        f'<tr><td>{html.escape(reason)}</td><td class="number">{len(those):,}</td><td>'
        + "<br>".join(f"<b>{_text(one.id)}</b> {_text(one.message)}" for one in those[:EXAMPLES])
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
    """Draw where the time of all runs went."""
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
    intro = "Per photo, all runs together; shards overlap, so stages may add up to more than the time above."
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


def _text(line: str) -> str:
    """Return a line of a dataset as HTML shows it."""
    return html.escape(shown(line))
