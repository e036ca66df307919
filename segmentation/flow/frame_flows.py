"""Flow of single frames of a video dataset, from either form in which it is kept: a flow store or JPEGFlows."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from shlex import quote
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image, UnidentifiedImageError

from flowsim import flow_to_rgb, rgb_to_flow
from pipeline.dataset.flow_store import FlowDataset, FlowLayout
from pipeline.dataset.sample_reader import SampleReader
from pipeline.dataset.schema import decode_flow
from pipeline.engine.placement import count_of
from pipeline.errors import PipelineError, UnusablePhoto
from pipeline.files.regular_files import open_regular, read_file
from pipeline.photos.decoding import decode_photo
from segmentation.errors import DatasetError, FlowError
from segmentation.flow.flow_origin import FlowOrigin
from segmentation.videos.datasets import OpenedDataset, Video

PICTURES = (".jpg", ".jpeg", ".png")


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
            sizes = _size_of(frame.image), flows.size(video.name, frame.name)
            if sizes[0] != sizes[1] and all(map(any, sizes)):
                others.append((video.name, *sizes))
    if not others:
        return ""
    name, image, flow = others[0]
    return (
        f"the flow of {count_of(len(others), 'video')} has another size than the images, such as {name}: images "
        f"{image[0]}x{image[1]}, flow {flow[0]}x{flow[1]}; each is resized to the network's square on its own"
    )


def vectors_of(colors: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w 2"]:
    """Read vectors back from a picture, relative to the longest; NaN where it is black."""
    field = rgb_to_flow(colors)
    return np.where(field.valid[..., None], field.flow, np.float32(np.nan))


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


class PictureFlows:
    """Flow from pictures, relative to the longest vector of each: pictures do not tell more.

    Args:
        root: folder of the tree.
        pattern: folder of a video below it.
    """

    is_in_px = False

    def __init__(self, root: Path, pattern: str) -> None:
        self.root, self.pattern = root, pattern

    def check(self, video: Video) -> None:
        """Make sure that the picture of every annotated frame is there.

        Raises:
            DatasetError: one is not.
        """
        missing = [frame.name for frame in video.annotated if not self._path(video.name, frame.name).is_file()]
        if missing:
            have = "has" if len(missing) == 1 else "have"
            raise DatasetError(
                f"{count_of(len(missing), 'annotated frame')} of {video.name} {have} no flow picture, the first is "
                f"{self._path(video.name, missing[0])}"
            )

    def origin(self, video: str) -> None:
        """Return None: pictures do not say how their flow was estimated."""

    def read(self, video: str, frame: str) -> Float32[np.ndarray, "h w 2"]:
        """Return a frame's flow, its longest vector of length 1, NaN where the picture is black.

        Raises:
            DatasetError: the picture is damaged.
        """
        return vectors_of(self.read_colors(video, frame))

    def read_colors(self, video: str, frame: str) -> UInt8[np.ndarray, "h w 3"]:
        """Return the picture as it is; errors as in `read`."""
        path = self._path(video, frame)
        try:
            return decode_photo(read_file(path))
        except (UnusablePhoto, OSError) as error:
            raise DatasetError(f"the flow picture {path} cannot be read: {error}") from error

    def size(self, video: str, frame: str) -> tuple[int, int]:
        """Return width and height of a frame's picture, px; errors as in `read`."""
        return _size_of(self._path(video, frame))

    def _path(self, video: str, frame: str) -> Path:
        """Return the picture of a frame that is there, or the one that is expected."""
        folder = self.root / self.pattern.replace("{video}", video)
        paths = [folder / f"{frame}{suffix}" for suffix in PICTURES]
        return next((path for path in paths if path.is_file()), paths[0])


def _size_of(path: Path) -> tuple[int, int]:
    """Return width and height of a picture, px, without decoding it."""
    try:
        with open_regular(path) as file, Image.open(file) as image:
            return image.size
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError):
        return 0, 0  # what is wrong with it is said where it is read
