"""Flow of single frames of a video dataset, from a flow store or a JPEGFlows tree, and the origin of the flow."""

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

from pipeline.dataset.flow_store import FlowDataset, FlowLayout
from pipeline.dataset.sample_reader import SampleReader
from pipeline.dataset.schema import decode_flow
from pipeline.engine.placement import count_of
from pipeline.errors import PipelineError
from segmentation.errors import DatasetError, FlowError
from segmentation.flow.jpeg_trees import PictureFlows, size_of_picture
from segmentation.network.flow_colors import flow_colors
from segmentation.videos.datasets import OpenedDataset, Video


@dataclass(frozen=True)
class FlowOrigin:
    """The estimate that the flow of one video comes from.

    Attributes:
        video: name of the video.
        store: store that holds the flow.
        weights: name of the weights of RAFT.
        weights_sha256: sha256 of the file of weights.
        stride: distance in frames from the first frame of a pair to the second.
        short_side_px: shorter side of the frames; None for pairs, which are enlarged to the size of videos.
    """

    video: str
    store: str
    weights: str
    weights_sha256: str
    stride: int
    short_side_px: int | None

    @property
    def where(self) -> str:
        """Video and store, for messages."""
        return f"{self.video} in {self.store}"


@runtime_checkable
class FrameFlows(Protocol):
    """Flow of the frames of a dataset, which any thread and any process may read.

    Attributes:
        is_in_px: whether lengths are pixels; otherwise they are relative to the longest vector of each frame.
    """

    is_in_px: bool

    def check(self, video: Video) -> None:
        """Raise unless there is flow of every annotated frame of a video.

        Raises:
            DatasetError: the flow of a frame is missing, or it belongs to another video.
        """

    def origin(self, video: str) -> FlowOrigin | None:
        """Return the origin of the flow of a checked video; None if it is not known."""

    def read(self, video: str, frame: str) -> Float32[np.ndarray, "h w 2"]:
        """Return the flow of a frame of a checked video, (h,w,2) float32, NaN where unknown.

        Raises:
            DatasetError: the flow cannot be read.
        """

    def read_colors(self, video: str, frame: str) -> UInt8[np.ndarray, "h w 3"]:
        """Return the flow of a frame as colours, as networks see it; arguments and errors are those of `read`."""

    def size(self, video: str, frame: str) -> tuple[int, int]:
        """Return width and height of the flow of a frame in pixels; arguments and errors are those of `read`."""


def open_flows(place: str, dataset: OpenedDataset) -> FrameFlows:
    """Open the flow of the videos of a dataset.

    Args:
        place: flow store of `segmentation flows` (folder or URL), or folder with the tree of the published code.
        dataset: videos.

    Raises:
        DatasetError: the place is neither.
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
    """Compare the sizes of flow and image in the first annotated frame of each video.

    Args:
        flows: flow of the videos, which have been checked.
        videos: videos with images.

    Returns:
        One sentence on the videos whose sizes differ; empty if there are none.
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
        url: folder or URL of the store.
        title: title of the dataset that the flow must belong to.
    """

    is_in_px = True

    def __init__(self, url: str, title: str) -> None:
        self.url, self.title = url, title
        self._rows: dict[str, dict[str, int]] = {}
        self._origins: dict[str, FlowOrigin] = {}
        self._layouts: dict[str, FlowLayout] = {}
        self._readers: dict[str, SampleReader] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the opened stores, which every process opens for itself."""
        return {**self.__dict__, "_readers": {}}

    def check(self, video: Video) -> None:
        """Raise unless the store holds the flow of every annotated frame of a video.

        Raises:
            DatasetError: the flow of a frame is missing, or it belongs to another video.
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
        """Return the origin of the flow of a video; None if the store does not state it."""
        return self._origins.get(video)

    def read(self, video: str, frame: str) -> Float32[np.ndarray, "h w 2"]:
        """Return the flow of a frame of a checked video in pixels, NaN where unknown.

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
        """Return the flow of a frame as colours, by `flow_colors`."""
        return flow_colors(self.read(video, frame))

    def size(self, video: str, frame: str) -> tuple[int, int]:
        """Return width and height of the flow of a checked video in pixels."""
        layout = self._layouts[video]
        return layout.width, layout.height


def require_one_kind(origins: Sequence[FlowOrigin]) -> None:
    """Raise unless all flow was estimated with the same weights and stride, from frames of about the same size.

    Videos of one store may differ in size; the sizes of two stores must overlap.

    Raises:
        DatasetError: two origins differ; the message says which and in what.
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
        if origin.short_side_px is not None:
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
