"""The contact sheet: some samples of a dataset as a person wants to see them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from flowsim import flow_to_rgb
from pipeline import schema
from pipeline.errors import PipelineError
from pipeline.store import DatasetStore

TILE = 220
GAP = 6
HEADER = 52
LABEL = 22
OUTLINE = (255, 64, 64)


def contact_sheet(store: DatasetStore, rows: int) -> Image.Image:
    """Draw photo, inverse depth, each flow and the mask of up to `rows` usable samples, evenly spread.

    Flow colours are those of Baker et al.; their scale is the picture's own and written beside the name.

    Raises:
        PipelineError: no sample is usable yet.
    """
    chosen = _usable_rows(store, rows)
    if not chosen:
        raise PipelineError(f"{store.url}: no usable sample yet. See `pipeline status {store.url} --failures`.")
    motions = store.layout.motions
    flows = [f"flow {k + 1} (colour = direction)" for k in range(motions)]
    columns = ["photo", "inverse depth (bright = near)", *flows, "mask"]
    lines = [_tiles(store, row) for row in chosen]
    heights = [max(tile.height for tile in tiles) + LABEL + GAP for tiles, _ in lines]
    sheet = Image.new("RGB", (GAP + len(columns) * (TILE + GAP), HEADER + sum(heights)), "white")
    draw = ImageDraw.Draw(sheet)
    font, small = ImageFont.load_default(16), ImageFont.load_default(13)
    settings = store.attributes["settings"]
    title = f"{len(chosen)} of {store.layout.samples} samples"
    title += f", depth {settings['depth']['model']}, motion {settings['motion']}"
    draw.text((GAP, 6), title, fill="black", font=font)
    for column, name in enumerate(columns):
        draw.text((GAP + column * (TILE + GAP), 30), name, fill="gray", font=small)
    top = HEADER
    for (tiles, caption), height in zip(lines, heights, strict=True):
        draw.text((GAP, top), caption, fill="black", font=small)
        for column, tile in enumerate(tiles):
            sheet.paste(tile, (GAP + column * (TILE + GAP) + (TILE - tile.width) // 2, top + LABEL))
        top += height
    return sheet


def depth_in_colour(inverse_depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Paint inverse depth (h, w) in [0, 1] as (h, w, 3) uint8 RGB; bright = near."""
    in_colour = cv2.applyColorMap((inverse_depth * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    rgb: NDArray[np.uint8] = cv2.cvtColor(in_colour, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
    return rgb


def _usable_rows(store: DatasetStore, rows: int) -> list[int]:
    status = store.read("status", slice(None))
    exists = np.zeros(len(status), bool)
    for shard in store.committed():
        made = store.layout.rows(shard)
        exists[made.start : made.stop] = True
    usable = np.flatnonzero(exists & (status == schema.USABLE))
    spread = np.linspace(0, max(0, len(usable) - 1), min(rows, len(usable))).round().astype(int)
    return [int(row) for row in usable[spread]]


def _tiles(store: DatasetStore, row: int) -> tuple[list[Image.Image], str]:
    height, width = (int(side) for side in store.read("size", row))
    photo = store.read("image", row)[:height, :width]
    mask = store.read("mask", row)[:height, :width]
    inverse_depth = schema.decode_inverse_depth(store.read("inverse_depth", row)[:height, :width])
    flows = schema.decode_flow(store.read("flow", row)[:, :height, :width])
    flow_tiles = [np.asarray(flow_to_rgb(flow)) for flow in flows]
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    shaded = np.where(mask[..., None] > 0, photo, photo // 3).astype(np.uint8)
    cv2.drawContours(shaded, contours, -1, OUTLINE, max(1, max(height, width) // 200))
    largest = np.nanmax(np.hypot(flows[..., 0], flows[..., 1]))
    caption = f"{store.read('id', row)}   {width} x {height}   flow up to {largest:.0f} px"
    return [_fit(tile) for tile in (photo, depth_in_colour(inverse_depth), *flow_tiles, shaded)], caption


def _fit(tile: NDArray[np.uint8]) -> Image.Image:
    """Scale a picture so that its longer side is TILE."""
    picture = Image.fromarray(tile)
    scale = TILE / max(picture.size)
    return picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
