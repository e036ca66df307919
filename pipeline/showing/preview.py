"""Contact sheet of a dataset of photos, and pictures of single samples."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from shlex import quote

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from flowsim import flow_to_rgb
from pipeline.dataset import schema
from pipeline.dataset.provenance import origin
from pipeline.dataset.spread import spread
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from pipeline.showing.sheets import TILE, Line, draw_sheet, scaled_to

OUTLINES = (
    (255, 64, 64),
    (64, 160, 255),
    (255, 200, 40),
    (90, 210, 90),
    (220, 110, 255),
    (255, 140, 40),
    (60, 220, 220),
)
"""Colours of the outlines of objects 1, 2, ..., in turn."""


def contact_sheet(store: DatasetStore, rows: int) -> Image.Image:
    """Draw photo, inverse depth, each flow and the mask of up to `rows` usable samples, evenly spread.

    A dataset without images that was opened without photos is shown without photos. Flow has the colours of Baker et
    al., scaled for each picture; the length of its longest vector is in the caption.

    Raises:
        PipelineError: no sample is usable yet.
    """
    chosen = spread(store.usable_rows(), rows)
    if not chosen:
        raise PipelineError(f"{store.url}: no usable sample yet. See `pipeline status {quote(store.url)} --failures`.")
    flows = [f"flow {k + 1} (colour = direction)" for k in range(store.layout.motions)]
    columns = columns_of(store, "inverse depth (bright = near)", flows)
    title = f"{len(chosen)} of {store.layout.samples} samples"
    title += "".join(f", {what} {words}" for what, words in origin(store.attributes) if what in ("depth", "motion"))
    return draw_sheet(title, columns, [_line(store, row) for row in chosen])


def columns_of(store: DatasetStore, depth: str, flows: Sequence[str]) -> list[str]:
    """Return the names of the pictures of a sample, as `SamplePictures.all` orders them; depth and flows as given."""
    layout = store.layout
    return [*["photo"] * store.shows_photos, *[depth] * layout.is_simulated, *flows, "mask"]


def depth_in_colour(inverse_depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Paint inverse depth (h, w) in [0, 1] as (h, w, 3) uint8 RGB; bright = near."""
    in_colour = cv2.applyColorMap((inverse_depth * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    rgb: NDArray[np.uint8] = cv2.cvtColor(in_colour, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
    return rgb


def color_wheel_png() -> bytes:
    """Return the colours of flow as a round PNG: each point has the colour of motion from the centre to it."""
    side = np.linspace(-1, 1, 121, dtype=np.float32)
    flow = np.stack(np.meshgrid(side, side), -1)
    inside = np.where(np.hypot(flow[..., 0], flow[..., 1]) <= 1, 255, 0).astype(np.uint8)
    content = io.BytesIO()
    Image.fromarray(np.dstack([np.asarray(flow_to_rgb(flow, 1.0)), inside])).save(content, "PNG")
    return content.getvalue()


def outlined(photo: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Darken a photo outside of its objects and draw their outlines.

    Args:
        photo: (h, w, 3) uint8 RGB.
        labels: (h, w) uint8: 0 = background, i = object i.
    """
    shaded = np.where(labels[..., None] > 0, photo, photo // 3).astype(np.uint8)
    width_px = max(1, max(labels.shape) // 200)
    for number in np.unique(labels[labels > 0]).tolist():
        contours, _ = cv2.findContours((labels == number).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(shaded, contours, -1, OUTLINES[(number - 1) % len(OUTLINES)], width_px)
    return shaded


def silhouette(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Paint a mask (h, w) as (h, w, 3) uint8 RGB: objects white, all else black."""
    return np.repeat(np.where(mask > 0, np.uint8(255), np.uint8(0))[..., None], 3, axis=-1)


@dataclass(frozen=True, eq=False)
class SamplePictures:
    """Pictures of one sample, (h, w, 3) uint8 RGB each.

    Attributes:
        id: id of the photo.
        photo: the stored photo; None where photos are not shown.
        depth: inverse depth in colour, bright = near; None if flow was imported.
        flows: one picture for each motion: colour = direction, saturation = length relative to the longest vector.
        mask: the photo, darkened outside the object, with the outline of the object; its silhouette without a photo.
        longest_px: length of the longest vector of all flows, px.
    """

    id: str
    photo: NDArray[np.uint8] | None
    depth: NDArray[np.uint8] | None
    flows: list[NDArray[np.uint8]]
    mask: NDArray[np.uint8]
    longest_px: float

    @property
    def all(self) -> list[NDArray[np.uint8]]:
        """All pictures in the order photo, depth (if they are there), flows, mask."""
        return [one for one in (self.photo, self.depth, *self.flows, self.mask) if one is not None]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the sample in px."""
        height, width = self.mask.shape[:2]
        return height, width


def sample_pictures(store: DatasetStore, row: int, *, with_photo: bool) -> SamplePictures:
    """Read one sample and convert its arrays to pictures, which show the photo or do without it."""
    height, width = (int(side) for side in store.read("size", row))
    photo = store.read("image", row)[:height, :width] if with_photo else None
    mask = store.read("mask", row)[:height, :width]
    depth = None
    if store.layout.is_simulated:
        depth = depth_in_colour(schema.decode_inverse_depth(store.read("inverse_depth", row)[:height, :width]))
    flows = schema.decode_flow(store.read("flow", row)[:, :height, :width])
    shown = silhouette(mask) if photo is None else outlined(photo, (mask > 0).astype(np.uint8))
    lengths = np.hypot(flows[..., 0], flows[..., 1])
    longest_px = float(np.max(lengths, initial=0, where=np.isfinite(lengths)))
    colours = [np.asarray(flow_to_rgb(flow)) for flow in flows]
    return SamplePictures(str(store.read("id", row)), photo, depth, colours, shown, longest_px)


def _line(store: DatasetStore, row: int) -> Line:
    sample = sample_pictures(store, row, with_photo=store.shows_photos)
    height, width = sample.size
    caption = f"{sample.id}   {width} x {height}   flow up to {sample.longest_px:.0f} px"
    return [scaled_to(pixels, TILE) for pixels in sample.all], caption
