"""Flow as pictures: the `JPEGFlows` tree of the published FakeFlow/DepthFlow/TMO code, written and read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image, UnidentifiedImageError

from flowsim import rgb_to_flow
from pipeline.command.progress import Progress
from pipeline.dataset.flow_store import FlowDataset, VideoFlowStore
from pipeline.dataset.schema import decode_flow
from pipeline.engine.placement import count_of
from pipeline.errors import UnusablePhoto
from pipeline.files.pictures import flow_jpeg
from pipeline.files.regular_files import open_regular, read_file
from pipeline.files.whole_files import write_whole
from pipeline.photos.decoding import decode_photo
from segmentation.errors import DatasetError, FlowError
from segmentation.flow.clips import Clip
from segmentation.videos.datasets import Video

PICTURES = (".jpg", ".jpeg", ".png")
_THREADS = 4


def write_jpeg_tree(clips: Sequence[Clip], output: str, root: Path, progress: Progress) -> None:
    """Write the flow pictures of complete videos below `root`, in the folders that the published code expects.

    Raises:
        FlowError: the pictures cannot be written.
    """
    dataset = FlowDataset.open(output)
    stores = [(dataset.video(clip.name), root / clip.pictures) for clip in clips]
    total, written = sum(store.layout.frames for store, _ in stores), 0
    for store, folder in stores:
        for _ in write_pictures(store, folder):
            written += 1
            progress.update(total, written, 0)


def write_pictures(store: VideoFlowStore, folder: Path) -> Iterator[Path]:
    """Write the flow of each frame as `<folder>/<frame>.jpg`, unless the picture exists.

    Colours are those of Baker et al. with the longest vector of each frame at full saturation, as published: the length
    of vectors is lost, and one long vector makes a whole frame pale.

    Args:
        store: flow of a complete video.
        folder: folder of the pictures; it is made if it does not exist.

    Yields:
        Path of each picture as soon as it exists.

    Raises:
        FlowError: the folder cannot be written.
    """
    names = [str(name) for name in store.read("frame", slice(None))]

    def write(row: int) -> Path:
        path = folder / f"{names[row]}.jpg"
        if not path.exists():
            write_whole(path, flow_jpeg(decode_flow(store.read("flow", row))))
        return path

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(_THREADS) as pool:
            yield from pool.map(write, range(len(names)))
    except OSError as error:
        raise FlowError(f"the pictures cannot be written to {folder}: {error.strerror or error}") from error


class PictureFlows:
    """Flow from pictures, relative to the longest vector of each, since pictures do not state lengths.

    Args:
        root: folder of the tree.
        pattern: folder of a video below the root, with `{video}` in place of its name.
    """

    is_in_px = False

    def __init__(self, root: Path, pattern: str) -> None:
        self.root, self.pattern = root, pattern

    def check(self, video: Video) -> None:
        """Raise unless there is a flow picture of every annotated frame of a video.

        Raises:
            DatasetError: a picture is missing.
        """
        missing = [frame.name for frame in video.annotated if not self._path(video.name, frame.name).is_file()]
        if missing:
            have = "has" if len(missing) == 1 else "have"
            raise DatasetError(
                f"{count_of(len(missing), 'annotated frame')} of {video.name} {have} no flow picture, the first is "
                f"{self._path(video.name, missing[0])}"
            )

    def origin(self, video: str) -> None:
        """Return None, since pictures do not state how their flow was estimated."""

    def read(self, video: str, frame: str) -> Float32[np.ndarray, "h w 2"]:
        """Return the flow of a frame with a longest vector of length 1, NaN where the picture is black.

        Raises:
            DatasetError: the picture is damaged.
        """
        return vectors_of(self.read_colors(video, frame))

    def read_colors(self, video: str, frame: str) -> UInt8[np.ndarray, "h w 3"]:
        """Return the picture of a frame unchanged; errors are those of `read`."""
        path = self._path(video, frame)
        try:
            return decode_photo(read_file(path))
        except (UnusablePhoto, OSError) as error:
            raise DatasetError(f"the flow picture {path} cannot be read: {error}") from error

    def size(self, video: str, frame: str) -> tuple[int, int]:
        """Return width and height of the picture of a frame in pixels."""
        return size_of_picture(self._path(video, frame))

    def _path(self, video: str, frame: str) -> Path:
        """Return the path of the picture of a frame, or the expected path if there is no picture."""
        folder = self.root / self.pattern.replace("{video}", video)
        paths = [folder / f"{frame}{suffix}" for suffix in PICTURES]
        return next((path for path in paths if path.is_file()), paths[0])


def vectors_of(colors: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w 2"]:
    """Return the vectors that a picture shows, relative to the longest one; NaN where the picture is black."""
    field = rgb_to_flow(colors)
    return np.where(field.valid[..., None], field.flow, np.float32(np.nan))


def size_of_picture(path: Path) -> tuple[int, int]:
    """Return width and height of a picture in pixels without decoding it; 0, 0 if it cannot be read."""
    try:
        with open_regular(path) as file, Image.open(file) as image:
            return image.size
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError):
        return 0, 0  # reading the picture raises the error
