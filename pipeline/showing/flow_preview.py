"""Views of the flow of videos: a contact sheet, a video in flow colours, and the state in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from flowsim import flow_to_rgb
from pipeline.dataset.flow_store import FlowDataset, VideoFlowStore
from pipeline.dataset.schema import decode_flow
from pipeline.dataset.spread import spread
from pipeline.engine.placement import count_of
from pipeline.errors import PipelineError
from pipeline.files.video_writer import VideoWriter
from pipeline.showing.flow_state import made_frames, stores_of
from pipeline.showing.sheets import TILE, Line, draw_sheet, scaled_to

COLUMNS = 4
FRAMES_FOR_SCALE = 16
FRAMES_PER_SECOND = 24.0
LONGEST_QUANTILE = 0.99
"""Quantile of vector lengths with the full colour. Longer vectors share it, so that one cannot pale the rest."""


def flow_sheet(stored: FlowDataset | VideoFlowStore, rows: int) -> Image.Image:
    """Draw flow in colours: one line of four frames for each of several videos, or several lines of one video.

    Raises:
        PipelineError: no frame is made yet.
    """
    made = {name: (store, frames) for name, store in stores_of(stored).items() if len(frames := made_frames(store))}
    if not made:
        raise PipelineError(f"{stored.name}: no flow is there yet. Run the command that makes it again.")
    names = list(made)
    lines = []
    if len(names) > 1:
        for number in spread(np.arange(len(names)), rows):
            store, frames = made[names[number]]
            lines.append(_line(names[number], store, spread(frames, COLUMNS)))
    else:
        store, frames = made[names[0]]
        chosen = spread(frames, COLUMNS * rows)
        scale = scale_px(store)
        parts = [chosen[start : start + COLUMNS] for start in range(0, len(chosen), COLUMNS)]
        lines = [_line(names[0], store, part, scale) for part in parts]
    title = f"Flow of {len(lines)} of {len(names)} videos" if len(names) > 1 else f"Flow of {names[0]}"
    return draw_sheet(title, ["hue = direction, paler = slower", *[""] * (COLUMNS - 1)], lines)


def write_flow_video(stored: FlowDataset | VideoFlowStore, path: Path) -> None:
    """Write the flow of one video as an MP4 in flow colours, one scale for all frames.

    Raises:
        PipelineError: there are several videos, the flow is not complete, or the file cannot be written.
    """
    stores = stores_of(stored)
    if len(stores) != 1:
        example = f"{stored.name.rstrip('/')}/{next(iter(stores), 'VIDEO')}"
        raise PipelineError(f"{stored.name} holds {count_of(len(stores), 'video')}; name one of them: {example}")
    ((name, store),) = stores.items()
    if not store.is_complete():
        raise PipelineError(f"{stored.name}: the flow of {name} is not complete. Run the command that makes it again.")
    if not path.absolute().parent.is_dir():
        raise PipelineError(f"{path}: there is no folder {path.parent}. Make it, or choose another --output.")
    longest = scale_px(store)
    with VideoWriter(path, FRAMES_PER_SECOND) as video:
        for row in range(store.layout.frames):
            video.write(np.asarray(flow_to_rgb(_flow(store, row, longest), longest)))


def scale_px(store: VideoFlowStore) -> float:
    """Return the length in px that gets the full colour in all pictures of a video."""
    quantiles = [_long(decode_flow(store.read("flow", row))) for row in spread(made_frames(store), FRAMES_FOR_SCALE)]
    return max([*quantiles, 1e-3])


def flow_pictures(store: VideoFlowStore, rows: list[int], longest_px: float) -> list[NDArray[np.uint8]]:
    """Return the flow of some frames in colours, (h, w, 3) uint8 RGB each."""
    return [np.asarray(flow_to_rgb(_flow(store, row, longest_px), longest_px)) for row in rows]


def _line(name: str, store: VideoFlowStore, rows: list[int], longest_px: float | None = None) -> Line:
    longest_px = longest_px or scale_px(store)
    frames = [str(store.read("frame", row)) for row in rows]
    which = frames[0] if len(frames) == 1 else f"{frames[0]} to {frames[-1]}"
    caption = f"{name}   {store.layout.width} x {store.layout.height}   full colour at {longest_px:.1f} px   {which}"
    return [scaled_to(picture, TILE) for picture in flow_pictures(store, rows, longest_px)], caption


def _flow(store: VideoFlowStore, row: int, longest_px: float) -> NDArray[np.float32]:
    """Read a frame's flow, with no vector longer than `longest_px`."""
    flow = decode_flow(store.read("flow", row))
    lengths = np.hypot(flow[..., 0], flow[..., 1])[..., None]
    limit = 0.999 * longest_px  # if rounding made a vector longer than the scale, it would be drawn dark
    shortened: NDArray[np.float32] = (flow * (limit / np.maximum(lengths, limit))).astype(np.float32)
    return shortened


def _long(flow: NDArray[np.float32]) -> float:
    lengths = np.hypot(flow[..., 0], flow[..., 1])
    known = lengths[np.isfinite(lengths)]
    return float(np.quantile(known, LONGEST_QUANTILE)) if known.size else 0.0
