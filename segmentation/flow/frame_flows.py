"""Flow of single frames of a video dataset, from either form in which it is kept: a flow store or JPEGFlows."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, UInt8

from flowsim import flow_to_rgb
from pipeline.dataset.flow_store import FlowDataset, FlowLayout
from pipeline.dataset.sample_reader import SampleReader
from pipeline.dataset.schema import decode_flow
from pipeline.engine.placement import count_of
from pipeline.errors import PipelineError
from segmentation.errors import DatasetError, FlowError
from segmentation.flow.jpeg_trees import PictureFlows, size_of_picture
from segmentation.videos.datasets import OpenedDataset, Video


@dataclass(frozen=True)
class FlowOrigin:
    """How the flow of one video was estimated.

    Attributes:
        video: its name.
        store: that holds it.
        weights: name of RAFT's weights.
        weights_sha256: of their file.
        stride: frames from the first of a pair to the second.
        short_side_px: shorter side of the frames.
    """

    video: str
    store: str
    weights: str
    weights_sha256: str
    stride: int
    short_side_px: int

    @property
    def where(self) -> str:
        """The video and its store, for messages."""
        return f"{self.video} in {self.store}"


@runtime_checkable
class FrameFlows(Protocol):
    """Where flow comes from; any thread may read, and other processes, too.

    Attributes:
        is_in_px: lengths are pixels; else they are relative to the longest vector of each frame.
    """

    is_in_px: bool

    def check(self, video: Video) -> None:
        """Make sure that the flow of every annotated frame is there.

        Raises:
            DatasetError: it is not, or belongs to another video.
        """

    def origin(self, video: str) -> FlowOrigin | None:
        """Return how the flow of a video was estimated, None if nothing says it; the video has been checked."""

    def read(self, video: str, frame: str) -> Float32[np.ndarray, "h w 2"]:
        """Return a frame's flow, (h,w,2) float32, NaN where unknown; its video has been checked.

        Raises:
            DatasetError: it cannot be read.
        """

    def read_colors(self, video: str, frame: str) -> UInt8[np.ndarray, "h w 3"]:
        """Return a frame's flow as colours, as networks see it; arguments and errors as in `read`."""

    def size(self, video: str, frame: str) -> tuple[int, int]:
        """Return width and height of a frame's flow, px; arguments and errors as in `read`."""


def open_flows(place: str, dataset: OpenedDataset) -> FrameFlows:
    """Open the flows of a dataset's videos.

    Args:
        place: flow store of `segmentation flows` (folder or URL), or folder with the tree of the published code.
        dataset: the videos.

    Raises:
        DatasetError: neither is there.
    """
    for pattern in dataset.flow_pictures:
        if (Path(place) / pattern.split("/{")[0]).is_dir():
            return PictureFlows(Path(place), pattern)
    try:
        FlowDataset.open(place)
    except PipelineError as error:
        folder = dataset.flow_pictures[0].split("/{")[0]
        raise DatasetError(
            f"{place} holds neither flows of {dataset.row.title} nor a folder {folder}: {error}"
        ) from error
    return StoredFlows(place, dataset.row.title)


def note_on_sizes(flows: FrameFlows, videos: Iterable[Video]) -> str:
    """Look at the first annotated frame of each video, and say whether its flow has another size than its image.

    Args:
        flows: of these videos, which have been checked.
        videos: with images.

    Returns:
        One sentence; empty if all sizes are the same.
    """
    others = []
    for video in videos:
        frame = next((frame for frame in video.annotated if frame.image is not None), None)
        if frame is not None and frame.image is not None:
            sizes = size_of_picture(frame.image), flows.size(video.name, frame.name)
            if sizes[0] != sizes[1] and all(map(any, sizes)):
                others.append((video.name, *sizes))
    if not others:
        return ""
    name, image, flow = others[0]
    return (
        f"the flow of {count_of(len(others), 'video')} has another size than the images, such as {name}: images "
        f"{image[0]}x{image[1]}, flow {flow[0]}x{flow[1]}; each is resized to the network's square on its own"
    )


class StoredFlows:
    """Flow in pixels, from a store of `segmentation flows`.

    Args:
        url: of the store.
        title: of the dataset that the flows must belong to.
    """

    is_in_px = True

    def __init__(self, url: str, title: str) -> None:
        self.url, self.title = url, title
        self._rows: dict[str, dict[str, int]] = {}
        self._origins: dict[str, FlowOrigin] = {}
        self._layouts: dict[str, FlowLayout] = {}
        self._readers: dict[str, SampleReader] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave the opened stores behind: every process opens its own."""
        return {**self.__dict__, "_readers": {}}

    def check(self, video: Video) -> None:
        """Make sure that the flow of every frame is there.

        Raises:
            DatasetError: it is not, or belongs to another video.
        """
        repair = f"run `segmentation flows --output {quote(self.url)}` with this dataset"
        try:
            store = FlowDataset(self.url).video(video.name)
            if not store.exists() or not store.is_complete():
                raise DatasetError(f"{self.url} has no complete flow of {video.name}; {repair}")
            title = store.attributes.get("origin", {}).get("dataset", self.title)
            names = [str(name) for name in store.read("frame", slice(None))]
            layout = store.layout
        except (PipelineError, FlowError) as error:
            raise DatasetError(f"the flow of {video.name} cannot be used: {error}") from error
        if title != self.title:
            raise DatasetError(f"{self.url} holds flow of {title}, not of {self.title}; {repair} to another place")
        rows = {name: row for row, name in enumerate(names)}
        missing = [frame.name for frame in video.annotated if frame.name not in rows]
        if missing:
            raise DatasetError(
                f"{self.url} has no flow of {count_of(len(missing), 'annotated frame')} of {video.name}, the first is "
                f"{missing[0]}: it was made from other frames; {repair} to another place"
            )
        self._rows[video.name], self._layouts[video.name] = rows, layout
        settings = store.attributes.get("settings", {})
        if settings.keys() >= {"weights_sha256", "stride"}:
            self._origins[video.name] = FlowOrigin(
                video.name,
                self.url,
                str(store.attributes.get("weights", "unnamed weights")),
                str(settings["weights_sha256"]),
                int(settings["stride"]),
                min(store.layout.height, store.layout.width),
            )

    def origin(self, video: str) -> FlowOrigin | None:
        """Return how the flow of a video was estimated, None if the store does not say it."""
        return self._origins.get(video)

    def read(self, video: str, frame: str) -> Float32[np.ndarray, "h w 2"]:
        """Return a frame's flow in px, NaN where unknown; its video has been checked.

        Raises:
            DatasetError: the store is damaged.
        """
        try:
            if video not in self._readers:
                self._readers[video] = SampleReader(FlowDataset(self.url).video(video))
            (steps,) = self._readers[video].read("flow", [self._rows[video][frame]])
        except PipelineError as error:
            raise DatasetError(str(error)) from error
        return decode_flow(steps)

    def read_colors(self, video: str, frame: str) -> UInt8[np.ndarray, "h w 3"]:
        """Return a frame's flow as colours, normalised by its longest vector."""
        return flow_to_rgb(self.read(video, frame))

    def size(self, video: str, frame: str) -> tuple[int, int]:
        """Return width and height of a video's flow, px; its video has been checked."""
        layout = self._layouts[video]
        return layout.width, layout.height


def require_one_kind(origins: Sequence[FlowOrigin]) -> None:
    """Make sure that all flow was made by the same weights, with one stride, from frames of about the same size.

    Videos of one store may differ in size; the sizes of two stores must overlap.

    Raises:
        DatasetError: it was not; which two differ, and in what.
    """
    for one, other in itertools.pairwise(origins):
        if one.weights_sha256 != other.weights_sha256:
            raise _mixture(
                f"{one.where} was made by {one.weights} ({one.weights_sha256[:8]})",
                f"{other.where} by {other.weights} ({other.weights_sha256[:8]})",
            )
        if one.stride != other.stride:
            raise _mixture(f"{one.where} has stride {one.stride}", f"{other.where} stride {other.stride}")
    sides: dict[str, list[int]] = defaultdict(list)
    for origin in origins:
        sides[origin.store].append(origin.short_side_px)
    for (one_store, some), (other_store, others) in itertools.combinations(sides.items(), 2):
        if max(some) < min(others) or max(others) < min(some):
            raise _mixture(
                f"the videos in {one_store} was made from frames of {_range(some)} px on the shorter side",
                f"the videos in {other_store} from frames of {_range(others)} px",
            )


def _mixture(one: str, other: str) -> DatasetError:
    return DatasetError(
        f"the flow of {one}, that of {other}; a network that learns from both sees two kinds of flow. Make them alike "
        "with `segmentation flows`, or ask for the mixture with --mixed-flow"
    )


def _range(sides: Sequence[int]) -> str:
    low, high = min(sides), max(sides)
    return str(low) if low == high else f"{low} to {high}"
