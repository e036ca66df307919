"""Writing a video file frame by frame."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from jaxtyping import UInt8

from pipeline.errors import PipelineError

_CODEC = "mp4v"  # MPEG-4 part 2, which OpenCV's wheels can write on every machine


class VideoWriter:
    """Writes an MP4 file of frames of one size, and checks at the end that it holds all frames.

    Args:
        path: file to write.
        frames_per_second: frame rate of the file.
    """

    def __init__(self, path: Path, frames_per_second: float) -> None:
        self._path, self._rate = path, frames_per_second
        self._writer: cv2.VideoWriter | None = None
        self._frames = 0

    def __enter__(self) -> VideoWriter:
        return self

    def write(self, frame: UInt8[np.ndarray, "h w 3"]) -> None:
        """Append a frame, (h,w,3) uint8 RGB.

        Raises:
            PipelineError: the file cannot be created.
        """
        # The codec takes even sides only; OpenCV would cut the odd row and column off.
        rows, columns = frame.shape[0] % 2, frame.shape[1] % 2
        frame = cv2.copyMakeBorder(frame, 0, rows, 0, columns, cv2.BORDER_REPLICATE).astype(np.uint8, copy=False)
        if self._writer is None:
            size = frame.shape[1], frame.shape[0]
            self._writer = cv2.VideoWriter(str(self._path), cv2.VideoWriter.fourcc(*_CODEC), self._rate, size)
            if not self._writer.isOpened():
                raise PipelineError(f"the video {self._path} cannot be begun, {size[0]}x{size[1]} at {self._rate} Hz")
        self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        self._frames += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the file.

        Raises:
            PipelineError: the file does not hold all frames; OpenCV does not report a full disk.
        """
        if self._writer is not None:
            self._writer.release()
        if kind is None:
            capture = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
            frames = round(capture.get(cv2.CAP_PROP_FRAME_COUNT))
            capture.release()
            if frames != self._frames:
                raise PipelineError(
                    f"the video {self._path} holds {frames} of {self._frames} frames; is the disk full?"
                )
