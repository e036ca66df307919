"""Report on the flow of videos: one HTML page, which embeds everything that it shows."""

from __future__ import annotations

import html
from pathlib import Path

import numpy as np

from flowsim import FlowsimError, measure_flow
from pipeline.command.progress import Progress
from pipeline.dataset.flow_store import FlowDataset, VideoFlowStore
from pipeline.dataset.schema import decode_flow
from pipeline.dataset.spread import spread
from pipeline.errors import PipelineError
from pipeline.showing.flow_preview import COLUMNS, flow_pictures, scale_px
from pipeline.showing.flow_state import Stores, made_frames, status_lines, stores_of
from pipeline.showing.report_html import color_legend, figure, figures, image_tag, write_page
from pipeline.showing.report_measures import FIELDS_MEASURED, MeasuredField, flow_quantities, mean_directions
from pipeline.showing.report_plots import rose

VIDEOS_SHOWN = 12
QUANTITIES_WITHOUT_OBJECT = 5


def write_flow_report(stored: FlowDataset | VideoFlowStore, path: Path, progress: Progress) -> None:
    """Write the page: state of each video, frames in flow colours and distributions. It needs no other file.

    Raises:
        PipelineError: the page cannot be written.
    """
    if not path.absolute().parent.is_dir():
        raise PipelineError(f"{path}: there is no folder {path.parent}. Make it, or choose another --output.")
    stores = {name: store for name, store in stores_of(stored).items() if len(made_frames(store))}
    title = stored.name.rstrip("/").rpartition("/")[2]
    head, *lines = status_lines(stored)
    listed = "".join(f"<tr><td>{html.escape(line.strip())}</td></tr>" for line in lines)
    sections = [
        f'<h1>{html.escape(title)}</h1><p class="soft lead">{html.escape(head)}</p>',
        _gallery(stores),
        _flow(_measure(stores, progress)),
        f"<h2>Videos</h2><table>{listed}</table>",
    ]
    write_page(path, title, COLUMNS, sections)


def _gallery(stores: Stores) -> str:
    names = list(stores)
    samples = ""
    for name in (names[number] for number in spread(np.arange(len(names)), VIDEOS_SHOWN)):
        store = stores[name]
        rows, longest_px = spread(made_frames(store), COLUMNS), scale_px(store)
        images = "".join(
            image_tag(picture, f"flow of {name}, frame {row}")
            for row, picture in zip(rows, flow_pictures(store, rows, longest_px), strict=True)
        )
        label = f"{html.escape(name)} · full colour at {longest_px:.1f} px"
        samples += f'<div class="sample"><div class="label">{label}</div><div class="pictures">{images}</div></div>'
    intro = "Four frames of each video, evenly spread. Colour is the direction of flow, saturation its length."
    return f'<h2>Frames</h2><p class="soft">{intro}</p>{samples}{color_legend()}' if samples else ""


def _measure(stores: Stores, progress: Progress) -> list[MeasuredField]:
    """Measure up to `FIELDS_MEASURED` frames, evenly spread over each video."""
    per_video = max(1, FIELDS_MEASURED // max(1, len(stores)))
    chosen = [(store, row) for store in stores.values() for row in spread(made_frames(store), per_video)]
    progress.update(len(chosen), 0, 0)
    fields = []
    for done, (store, row) in enumerate(chosen, start=1):
        flow = decode_flow(store.read("flow", row))
        try:
            known = np.asarray(np.isfinite(flow).all(-1))
            measured = measure_flow(flow, np.zeros(known.shape, bool), known)
            fields.append(MeasuredField(row, 0, measured))
        except FlowsimError:  # no known vector
            pass
        progress.update(len(chosen), done, 0)
    return fields


def _flow(fields: list[MeasuredField]) -> str:
    if not fields:
        return ""
    intro = f"{len(fields)} frames, evenly spread. The line marks the median, which is written above."
    directions = figure("Direction", "", "Mean over frames, weighted by length.", rose(mean_directions(fields)))
    drawn = figures(flow_quantities(fields)[:QUANTITIES_WITHOUT_OBJECT], directions)
    return f'<h2>Flow</h2><p class="soft">{intro}</p>{drawn}'
