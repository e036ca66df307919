"""Frames of one video from image files or a video container, read in the order of time, a few at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from pipeline.errors import UnusablePhoto
from pipeline.files.regular_files import read_file, refuse_irregular
from pipeline.photos.decoding import decode_photo
from segmentation.errors import FlowError
from segmentation.videos.trees import VideoFolders, list_frames

FRAMES_PER_SECOND = 25.0
MOST_FRAMES_PER_SECOND = 1000.0  # containers that state more are wrong

Image = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class ImageFiles:
    """A video whose frames are image files.

    Attributes:
        paths: files of the frames, in the order of time.
    """

    paths: tuple[Path, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the frames in the order of time."""
        return tuple(path.stem for path in self.paths)

    @property
    def frames_per_second(self) -> float:
        """Frame rate in frames per second; image files do not state one, so the usual one is assumed."""
        return FRAMES_PER_SECOND

    def read(self, numbers: Iterable[int]) -> Iterator[Image]:
        """Yield frames, (h,w,3) uint8 RGB.

        Args:
            numbers: numbers of the frames, from 0.

        Raises:
            FlowError: a file is missing or damaged.
        """
        for path in (self.paths[number] for number in numbers):
            try:
                yield decode_photo(read_file(path))
            except (UnusablePhoto, OSError) as problem:
                raise FlowError(f"frame {path} cannot be read: {problem}") from None

    def listing_hash(self) -> str:
        """Return the sha256 of the frames' names and sizes in bytes."""
        lines = (f"{path.name} {path.stat().st_size}" for path in self.paths)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@dataclass(frozen=True)
class VideoFile:
    """A video in a container that OpenCV's FFmpeg reads.

    Attributes:
        path: path of the file.
        frames: number of frames that can be decoded.
    """

    path: Path
    frames: int

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the frames: their numbers, from 0."""
        return tuple(f"{number:05d}" for number in range(self.frames))

    @property
    def frames_per_second(self) -> float:
        """Frame rate in frames per second that the container states, or the usual one if it states none."""
        capture = _open(self.path)
        try:
            stated = float(capture.get(cv2.CAP_PROP_FPS))
        finally:
            capture.release()
        return stated if 0 < stated <= MOST_FRAMES_PER_SECOND else FRAMES_PER_SECOND

    def read(self, numbers: Iterable[int]) -> Iterator[Image]:
        """Yield frames, (h,w,3) uint8 RGB.

        All frames before them are decoded as well, because seeking is exact in few containers only.

        Args:
            numbers: numbers of the frames, from 0, in ascending order.

        Raises:
            FlowError: the file ends before the last of them.
        """
        capture = _open(self.path)
        decoded = 0
        try:
            for number in numbers:
                while decoded <= number:
                    if not capture.grab():
                        raise FlowError(f"{self.path} cannot be decoded beyond frame {decoded} of {self.frames}")
                    decoded += 1
                _, bgr = capture.retrieve()
                yield cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        finally:
            capture.release()

    def listing_hash(self) -> str:
        """Return the sha256 of the video file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


Footage = ImageFiles | VideoFile
"""A video without its frames, small enough to be sent to a worker."""


def open_footage(path: Path) -> Footage:
    """Open a user's own video: a container, or a folder of frames named or numbered in the order of time.

    Raises:
        FlowError: the path is neither, the video is damaged, or a frame is missing between others.
    """
    if path.is_dir():
        frames, problem = list_frames(VideoFolders(None, path, path / "no masks"))
        if not frames:
            raise FlowError(f"{path} holds no images; expected frames such as 00000.jpg, one file each")
        if problem:
            raise FlowError(problem)
        return ImageFiles(tuple(frame.image for frame in frames if frame.image is not None))
    if not path.exists():
        raise FlowError(f"{path} does not exist; expected a video file or a folder of frames")
    try:
        refuse_irregular(path)
    except OSError as error:
        raise FlowError(f"{path} cannot be read as a video: {error}") from None
    return VideoFile(path, _count(path))


def _open(path: Path) -> cv2.VideoCapture:
    quiet = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    finally:
        cv2.utils.logging.setLogLevel(quiet)
    if not capture.isOpened():
        raise FlowError(f"{path} is no video that can be decoded: the container is damaged or of an unknown kind")
    return capture


def _count(path: Path) -> int:
    """Count the frames by decoding them all, because the count in the container may be wrong."""
    capture = _open(path)
    try:
        announced = round(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        frames = 0
        while capture.grab():
            frames += 1
    finally:
        capture.release()
    if frames < 0.98 * announced - 1:
        raise FlowError(
            f"{path} is damaged: {frames} of the {announced} frames that it announces can be decoded. "
            "Repair it, or cut it to what is whole: ffmpeg -i IN -c copy OUT"
        )
    return frames
