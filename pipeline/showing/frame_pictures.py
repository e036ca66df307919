"""Pictures of pairs and clips: occlusion, warping error, and frames for an animation."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.dataset.pair_flows import PairFlowStore
from pipeline.dataset.schema import decode_flow
from pipeline.dataset.store import DatasetStore

HIDDEN, LEAVING = 1, 2
OVERLAY = {"hidden": (230, 50, 45), "leaving": (50, 100, 240), "uncovered": (40, 180, 75)}
OVERLAY_OPACITY = 0.7
SCALE_LEVELS = 20
"""Warping error, in levels, that is drawn brightest."""
NOT_COMPARED = (110, 120, 130)
MILLISECONDS_PER_FRAME = 500


@dataclass(frozen=True, eq=False)
class ShownClip:
    """One motion of one photo with its frames; `flow_px` and the occlusions belong to the first step.

    Attributes:
        id: id of the photo.
        images: (t, h, w, 3) uint8 RGB, the photo first.
        flow_px: (h, w, 2) float32 pixels, NaN where unknown.
        occlusion: (h, w) uint8, of the photo: 0 = visible in the next frame, 1 = hidden, 2 = leaving or unknown.
        uncovered: (h, w) bool, pixels of the next frame that the photo does not show.
        window: rows and columns in which all frames show nothing but the photo, where the motion allows it.
        estimate_px: like `flow_px`, as an estimator sees it; None = not asked for.
    """

    id: str
    images: NDArray[np.uint8]
    flow_px: NDArray[np.float32]
    occlusion: NDArray[np.uint8]
    uncovered: NDArray[np.bool_]
    window: tuple[slice, slice]
    estimate_px: NDArray[np.float32] | None = None

    def occlusion_picture(self) -> NDArray[np.uint8]:
        """Return `occlusion_overlay` of the first step."""
        return occlusion_overlay(self.images[:2], self.occlusion, self.uncovered)


def read_clips(store: DatasetStore, row: int, estimated: PairFlowStore | None = None) -> list[ShownClip]:
    """Read the clips of one photo, one for each motion, with their estimated flow if there is some."""
    height, width = map(int, store.read("size", row))
    inside = slice(height), slice(width)
    name, photo, later = str(store.read("id", row)), store.read("image", row)[inside], store.read("next_image", row)
    flows, occlusions = store.read("flow", row), store.read("occlusion", row)
    backward, windows = store.read("backward_occlusion", row), store.read("window", row)
    estimates = None if estimated is None else estimated.read("flow", row)
    clips = []
    for motion, (top, bottom, left, right) in enumerate(windows.tolist()):
        images = np.concatenate([photo[None], later[motion][:, *inside]])
        flow_px, uncovered = decode_flow(flows[motion][inside]), backward[motion, 0][inside] == HIDDEN
        window = slice(top, bottom), slice(left, right)
        estimate_px = None if estimates is None else decode_flow(estimates[motion][inside])
        clips.append(ShownClip(name, images, flow_px, occlusions[motion, 0][inside], uncovered, window, estimate_px))
    return clips


def occlusion_overlay(
    images: NDArray[np.uint8], occlusion: NDArray[np.uint8], uncovered: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Tint the grey mean of two frames, (h, w, 3) uint8 RGB.

    Pixels of the first frame are red if the step hides them, and blue if they leave the picture; other pixels are
    green if the second frame uncovers them.

    Args:
        images: (2, h, w, 3) uint8 RGB.
        occlusion: (h, w) uint8, of the first frame, as `ShownClip` has it.
        uncovered: (h, w) bool, of the second frame.
    """
    mean = images.mean(axis=(0, -1))
    overlay: NDArray[np.float64] = np.repeat(mean[..., None], 3, -1)
    places = {
        "uncovered": uncovered,
        "leaving": occlusion == LEAVING,
        "hidden": occlusion == HIDDEN,
    }
    for name, where in places.items():
        tinted = (1 - OVERLAY_OPACITY) * mean[where][:, None] + OVERLAY_OPACITY * np.array(OVERLAY[name])
        overlay[where] = tinted
    return np.rint(overlay).astype(np.uint8)


def warping_error(clip: ShownClip) -> NDArray[np.float32]:
    """Return |next frame warped back by the flow - photo|, (h, w) float32: mean of the channels in levels of 0..255.

    NaN where the photo is not visible in the next frame, or its flow is unknown.
    """
    height, width = clip.occlusion.shape
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    known = np.asarray(np.isfinite(clip.flow_px).all(-1))
    flow = np.where(known[..., None], clip.flow_px, np.float32(0))
    warped = cv2.remap(
        clip.images[1].astype(np.float32),
        columns + flow[..., 0],
        rows + flow[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    error: NDArray[np.float32] = np.abs(warped - clip.images[0]).mean(-1).astype(np.float32)
    error[~known | (clip.occlusion != 0)] = np.nan
    return error


def error_picture(error: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Paint a warping error: black = 0, brightest = `SCALE_LEVELS` or more, blue-grey = not compared."""
    steps = np.clip(np.nan_to_num(error) / SCALE_LEVELS * 255, 0, 255).astype(np.uint8)
    rgb: NDArray[np.uint8] = cv2.applyColorMap(steps, cv2.COLORMAP_INFERNO)[..., ::-1].astype(np.uint8)
    rgb[np.isnan(error)] = NOT_COMPARED
    return rgb


def encode_animation(frames: Sequence[Image.Image], kind: str, quality: int = 90) -> bytes:
    """Return pictures of one size as an endless animation of two frames per second; `kind` is `WEBP` or `GIF`."""
    content = io.BytesIO()
    options = {"quality": quality, "method": 4} if kind == "WEBP" else {}
    first, *others = frames
    first.save(content, kind, save_all=True, append_images=others, duration=MILLISECONDS_PER_FRAME, loop=0, **options)
    return content.getvalue()
