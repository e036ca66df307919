"""Flow, photos and masks as picture files, in the encodings of the published tree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flowsim import flow_to_rgb
from pipeline.errors import PipelineError
from pipeline.files.whole_files import write_whole

PHOTOS, FLOWS, MASKS = "JPEGImages", "JPEGFlows", "Annotations"
JPEG_QUALITY = 95


def flow_jpeg(flow_px: NDArray[np.float32]) -> bytes:
    """Encode a flow field (h, w, 2) as a JPEG of its colours.

    The colours are those of Baker et al., and the longest vector of the field has full saturation, as published. So the
    length of vectors is lost, and one long vector makes the whole picture pale. NaN becomes black.
    """
    # Colours carry the direction, so they keep the full resolution.
    return _jpeg(np.asarray(flow_to_rgb(flow_px)), cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)


def photo_jpeg(rgb: NDArray[np.uint8]) -> bytes:
    """Encode a photo, (h, w, 3) uint8 RGB, as JPEG."""
    return _jpeg(rgb, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420)


def mask_png(mask: NDArray[np.uint8]) -> bytes:
    """Encode a mask, (h, w) uint8 of 0 and 255, as a grey PNG."""
    content: bytes = cv2.imencode(".png", mask)[1].tobytes()
    return content


def write_png(path: Path, picture: NDArray[Any]) -> None:
    """Write a picture as PNG.

    Args:
        path: file that ends in `.png`, in a folder that exists.
        picture: (h, w, 3) uint8 RGB, or (h, w) uint8 or uint16.

    Raises:
        PipelineError: the ending is another one, there is no such folder, or the file cannot be written.
    """
    if path.suffix.lower() != ".png":
        raise PipelineError(f"{path}: pictures are written as PNG. Choose an --output that ends in .png.")
    options = [cv2.IMWRITE_PNG_COMPRESSION, 9]
    content = cv2.imencode(".png", picture[..., ::-1] if picture.ndim == 3 else picture, options)[1].tobytes()
    try:
        write_whole(path, content)
    except OSError as error:
        raise PipelineError(f"{path}: cannot be written ({error.strerror}). Choose another --output.") from error


def _jpeg(rgb: NDArray[np.uint8], sampling: int) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    content: bytes = cv2.imencode(".jpg", rgb[..., ::-1], options)[1].tobytes()
    return content
