"""The pictures of one sample, and its exact flow, for the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flowsim import flow_to_rgb
from pipeline.dataset.clips import clip_of_row, motions_of_row
from pipeline.dataset.sample_reader import SampleReader
from pipeline.dataset.schema import decode_flow, decode_inverse_depth, picture_part
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from pipeline.showing.frame_pictures import HIDDEN, occlusion_overlay
from pipeline.showing.preview import depth_in_colour, outlined, silhouette

THUMBNAIL_PX = 256
"""Longer side of a thumbnail: that of a tile on a screen with two pixels per CSS pixel."""
_THUMBNAIL_QUALITY = 82

Rgb = NDArray[np.uint8]


class NoSuchPicture(PipelineError):  # noqa: N818  (a question that has no answer)
    """The dataset has no such row, motion, step or kind of picture."""


def layers(store: DatasetStore) -> list[str]:
    """Return the kinds of pictures that a sample of a dataset has, in the order of the page."""
    layout = store.layout
    if not store.shows_photos:
        return ["depth", "flow", "mask"]
    depth, occlusion = ["depth"] * layout.is_simulated, ["occlusion"] * (layout.frames > 1)
    following = ["next"] * (layout.frames > 1 or layout.is_simulated)
    return ["photo", *depth, "flow", "mask", *following, *occlusion]


class RowPictures:
    """Pictures of one row of a dataset, each from the chunks that it needs.

    Args:
        store: the dataset.
        reader: reader of its samples.
        row: number of a row that is usable.
        size: its true height and width.
    """

    def __init__(self, store: DatasetStore, reader: SampleReader, row: int, size: Sequence[int]) -> None:
        self._store, self._reader, self._row = store, reader, row
        self._height, self._width = int(size[0]), int(size[1])

    def thumbnail(self, layer: str) -> bytes:
        """Return a small JPEG of one kind of picture, of the first motion and step.

        Raises:
            PipelineError: the sample is damaged or cannot be read.
        """
        picture = self.picture(layer, 0, 0)
        scale = THUMBNAIL_PX / max(self._height, self._width)
        if scale < 1:
            side = (max(1, round(self._width * scale)), max(1, round(self._height * scale)))
            picture = cv2.resize(picture, side, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        quality = [cv2.IMWRITE_JPEG_QUALITY, _THUMBNAIL_QUALITY]
        content: bytes = cv2.imencode(".jpg", picture[..., ::-1], quality)[1].tobytes()
        return content

    def png(self, layer: str, motion: int, step: int) -> bytes:
        """Return one kind of picture in the sample's own size, without loss."""
        picture = self.picture(layer, motion, step)
        content: bytes = cv2.imencode(".png", picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
        return content

    def picture(self, layer: str, motion: int, step: int) -> Rgb:
        """Return one kind of picture, (h, w, 3) uint8 RGB.

        Args:
            layer: one of `layers`.
            motion: number of the motion, from 0.
            step: number of the step from frame to frame, from 0.

        Raises:
            NoSuchPicture: the dataset has no such picture.
            PipelineError: the sample is damaged or cannot be read.
        """
        self._check(layer, motion, step)
        if layer == "photo":
            photo: Rgb = self._read("image")
            return photo
        if layer == "depth":
            return depth_in_colour(decode_inverse_depth(self._read("inverse_depth")))
        if layer == "mask":
            return self._mask()
        if layer == "flow":
            return np.asarray(flow_to_rgb(decode_flow(self.flow_steps(motion, step))))
        if layer == "next":
            return self._next_frame(motion, step)
        return self._occlusion(motion, step)

    def flow_steps(self, motion: int, step: int) -> NDArray[np.int16]:
        """Return the stored flow of a step, (h, w, 2) int16 in steps of 1/64 px, -32768 = unknown."""
        self._check("flow", motion, step)
        flow: NDArray[np.int16] = self._read("later_flow")[motion, step - 1] if step else self._read("flow")[motion]
        return np.ascontiguousarray(flow, "<i2")

    def _check(self, layer: str, motion: int, step: int) -> None:
        kinds, layout = layers(self._store), self._store.layout
        motions, steps = range(layout.motions), range(max(1, layout.frames - 1))
        if layer not in kinds or motion not in motions or step not in steps:
            raise NoSuchPicture(
                f"{self._store.name} has no picture {layer!r} of motion {motion}, step {step}. "
                f"It has {', '.join(kinds)} of motion {_first_to_last(motions)}, step {_first_to_last(steps)}."
            )

    def _read(self, name: str) -> NDArray[Any]:
        (values,) = self._reader.read(name, [self._row])
        return values[picture_part(name, self._height, self._width)]

    def _mask(self) -> Rgb:
        """Return the photo with its objects outlined; without the photo, the objects in white."""
        if self._store.shows_photos:
            return outlined(self._read("image"), self._labels())
        return silhouette(self._read("mask"))

    def _labels(self) -> NDArray[np.uint8]:
        if self._store.layout.objects > 1:
            labels: NDArray[np.uint8] = self._read("labels")
            return labels
        return (self._read("mask") > 0).astype(np.uint8)

    def _next_frame(self, motion: int, step: int) -> Rgb:
        """Return the frame that a step leads to; of single photos, render the one that a pair would hold."""
        if self._store.layout.frames > 1:
            frame: Rgb = self._read("next_image")[motion, step]
            return frame
        mask, depth = self._read("mask"), self._read("inverse_depth")
        labels = (mask > 0).astype(np.uint8)
        motions = motions_of_row(self._store.read("motion", self._row)[motion], labels)
        (clip,) = clip_of_row(self._read("image"), labels, mask, depth, [motions], frames=2)
        rendered: Rgb = clip.images[0]
        return rendered

    def _occlusion(self, motion: int, step: int) -> Rgb:
        frames = self._read("next_image")[motion]
        before = frames[step - 1] if step else self._read("image")
        uncovered = self._read("backward_occlusion")[motion, step] == HIDDEN
        return occlusion_overlay(np.stack([before, frames[step]]), self._read("occlusion")[motion, step], uncovered)


def _first_to_last(numbers: range) -> str:
    return f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else str(numbers[0])
