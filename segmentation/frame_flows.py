"""Flow of single frames of a video dataset, from either form in which it is kept: a flow store or JPEGFlows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from flowsim import rgb_to_flow
from pipeline.errors import PipelineError, UnusablePhoto
from pipeline.images import decode_photo
from pipeline.sample_reader import SampleReader
from pipeline.schema import decode_flow
from segmentation.errors import DatasetError, FlowError
from segmentation.flow_store import FlowDataset
from segmentation.videos import OpenedDataset, Video


@runtime_checkable
class FrameFlows(Protocol):
    """Where flow comes from."""

    def check(self, video: Video) -> None:
        """Make sure that the flow of every annotated frame is there.

        Raises:
            DatasetError: it is not, or belongs to another video.
        """

    def read(self, video: Video, frame: str) -> Float32[np.ndarray, "h w 2"]:
        """Return a frame's flow, (h,w,2) float32, NaN where unknown.

        Raises:
            DatasetError: it cannot be read.
        """


def open_flows(place: str, dataset: OpenedDataset) -> FrameFlows:
    """Open the flows of a dataset's videos.

    Args:
        place: flow store of `segmentation flows` (folder or URL), or folder with the tree of the published code.
        dataset: the videos.

    Raises:
        DatasetError: neither is there.
    """
    pattern = _pictures(dataset)
    if (Path(place) / pattern.split("/{")[0]).is_dir():
        return PictureFlows(Path(place), pattern)
    try:
        FlowDataset.open(place)
    except PipelineError as error:
        raise DatasetError(
            f"{place} holds neither flows of {dataset.row.title} nor a folder {pattern.split('/{')[0]}: {error}"
        ) from error
    return StoredFlows(place, dataset.row.title)


class StoredFlows:
    """Flow in pixels, from a store of `segmentation flows`.

    Args:
        url: of the store.
        title: of the dataset that the flows must belong to.
    """

    def __init__(self, url: str, title: str) -> None:
        self.url, self.title = url, title
        self._rows: dict[str, dict[str, int]] = {}
        self._readers: dict[str, SampleReader] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave the opened stores behind: every process opens its own."""
        return {**self.__dict__, "_readers": {}}

    def check(self, video: Video) -> None:
        """Make sure that the flow of every frame is there.

        Raises:
            DatasetError: it is not, or belongs to another video.
        """
        repair = f"run `segmentation flows --output {self.url}` with this dataset"
        try:
            store = FlowDataset(self.url).video(video.name)
            if not store.exists() or not store.is_complete():
                raise DatasetError(f"{self.url} has no complete flow of {video.name}; {repair}")
            title = store.attributes.get("origin", {}).get("dataset", self.title)
            names = [str(name) for name in store.read("frame", slice(None))]
        except (PipelineError, FlowError) as error:
            raise DatasetError(f"the flow of {video.name} cannot be used: {error}") from error
        if title != self.title:
            raise DatasetError(f"{self.url} holds flow of {title}, not of {self.title}; {repair} to another place")
        rows = {name: row for row, name in enumerate(names)}
        missing = [frame.name for frame in video.annotated if frame.name not in rows]
        if missing:
            raise DatasetError(
                f"{self.url} has no flow of {len(missing)} annotated frames of {video.name}, the first is "
                f"{missing[0]}: it was made from other frames; {repair} to another place"
            )
        self._rows[video.name] = rows

    def read(self, video: Video, frame: str) -> Float32[np.ndarray, "h w 2"]:
        """Return a frame's flow in px, NaN where unknown; its video has been checked.

        Raises:
            DatasetError: the store is damaged.
        """
        try:
            if video.name not in self._readers:
                self._readers[video.name] = SampleReader(FlowDataset(self.url).video(video.name))
            (steps,) = self._readers[video.name].read("flow", [self._rows[video.name][frame]])
        except PipelineError as error:
            raise DatasetError(str(error)) from error
        return decode_flow(steps)


class PictureFlows:
    """Flow from pictures, relative to the longest vector of each: pictures do not tell more.

    Args:
        root: folder of the tree.
        pattern: folder of a video below it.
    """

    def __init__(self, root: Path, pattern: str) -> None:
        self.root, self.pattern = root, pattern

    def check(self, video: Video) -> None:
        """Make sure that the picture of every annotated frame is there.

        Raises:
            DatasetError: one is not.
        """
        missing = [frame.name for frame in video.annotated if not self._path(video, frame.name).is_file()]
        if missing:
            raise DatasetError(
                f"{len(missing)} annotated frames of {video.name} have no flow picture, the first is "
                f"{self._path(video, missing[0])}"
            )

    def read(self, video: Video, frame: str) -> Float32[np.ndarray, "h w 2"]:
        """Return a frame's flow, its longest vector of length 1, NaN where the picture is black.

        Raises:
            DatasetError: the picture is damaged.
        """
        path = self._path(video, frame)
        try:
            field = rgb_to_flow(decode_photo(path.read_bytes()))
        except (UnusablePhoto, OSError) as error:
            raise DatasetError(f"the flow picture {path} cannot be read: {error}") from error
        return np.where(field.valid[..., None], field.flow, np.float32(np.nan))

    def _path(self, video: Video, frame: str) -> Path:
        return self.root / self.pattern.replace("{video}", video.name) / f"{frame}.jpg"


def _pictures(dataset: OpenedDataset) -> str:
    """Return the folder of a video's flow pictures, as the published code has it."""
    folders: Sequence[str] = dataset.row.splits.get(dataset.split or "", ())
    return dataset.row.flows.replace("{split}", folders[-1] if folders else "")
