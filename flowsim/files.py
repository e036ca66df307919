"""Flow files: Middlebury .flo and KITTI's 16-bit png."""

import stat
import struct
import uuid
from pathlib import Path

import numpy as np

from flowsim.color_wheel import UNKNOWN_FLOW_PX
from flowsim.errors import FlowsimError
from flowsim.fields import FlowField

_FLO_MAGIC = 202021.25
_FLO_HEADER = struct.Struct("<fii")
# The authors of the format write this for an unknown component.
_FLO_UNKNOWN = 1.666666752e9
_LARGEST_SIDE = 99_999
_LARGEST_FILE = 2**31  # bytes; 16,000 x 16,000 pixels as .flo

# KITTI: stored = 64 flow + 2^15 in 16 bits.
_KITTI_SCALE = 64.0
_KITTI_ZERO = 32_768
_PNG_END = b"IEND\xaeB`\x82"


def read_flo(path: str | Path) -> FlowField:
    """Read a Middlebury .flo file.

    Args:
        path: the file.

    Returns:
        Flow (h,w,2) float32 px, 0 where unknown, and valid (h,w) bool.

    Raises:
        FlowsimError: the file is not a .flo file, or shorter or longer than its header says.
    """
    content = _read(path)
    if len(content) < _FLO_HEADER.size:
        raise FlowsimError(f"{path}: {len(content)} bytes, too short for a .flo header; fetch the file again")
    magic, width, height = _FLO_HEADER.unpack_from(content)
    if magic != _FLO_MAGIC:
        raise FlowsimError(f"{path}: not a .flo file (starts with {content[:4]!r}, expected b'PIEH')")
    if not (1 <= width <= _LARGEST_SIDE and 1 <= height <= _LARGEST_SIDE):
        raise FlowsimError(f"{path}: header says {width} x {height} pixels, expected sides of 1 to {_LARGEST_SIDE}")
    expected = _FLO_HEADER.size + 8 * width * height
    if len(content) != expected:
        state = "truncated" if len(content) < expected else "too long"
        raise FlowsimError(
            f"{path}: {state}: {len(content)} bytes, {width} x {height} needs {expected}; fetch it again"
        )
    flow = np.frombuffer(content, "<f4", offset=_FLO_HEADER.size).reshape(height, width, 2).astype(np.float32)
    valid = np.abs(flow).max(-1) <= UNKNOWN_FLOW_PX
    flow[~valid] = 0
    return FlowField(flow, valid)


def write_flo(path: str | Path, flow: np.ndarray, valid: np.ndarray | None = None) -> None:
    """Write a Middlebury .flo file, whole or not at all.

    Args:
        path: the file.
        flow: (h,w,2) float32, px.
        valid: (h,w) bool, None = all; NaN and pixels that are not valid are written as unknown.

    Raises:
        FlowsimError: wrong shape.
    """
    known = _known(flow, valid)
    height, width = known.shape
    values = np.where(known[..., None], flow, np.float32(_FLO_UNKNOWN)).astype("<f4")
    _write_whole(path, _FLO_HEADER.pack(_FLO_MAGIC, width, height) + values.tobytes())


def read_kitti_flow(path: str | Path) -> FlowField:
    """Read a KITTI flow png of 16 bits: red = 64 u + 2^15, green = 64 v + 2^15, blue = valid.

    Args:
        path: the file.

    Returns:
        Flow (h,w,2) float32 px, 0 where not valid, and valid (h,w) bool.

    Raises:
        FlowsimError: the file is truncated, or not a 16-bit colour png.
    """
    import cv2

    content = _read(path)
    if not content.startswith(b"\x89PNG"):
        raise FlowsimError(f"{path}: not a png file (starts with {content[:4]!r})")
    if not content.endswith(_PNG_END):
        raise FlowsimError(f"{path}: truncated png ({len(content)} bytes without an end); fetch the file again")
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if picture is None or picture.dtype != np.uint16 or picture.ndim != 3 or picture.shape[2] != 3:
        found = "unreadable" if picture is None else f"{picture.dtype} of shape {picture.shape}"
        raise FlowsimError(f"{path}: {found}, expected a 16-bit colour png as KITTI writes flow")
    valid = picture[..., 0] > 0
    flow = (picture[..., :0:-1].astype(np.float32) - _KITTI_ZERO) / np.float32(_KITTI_SCALE)
    flow[~valid] = 0
    return FlowField(flow, valid)


def write_kitti_flow(path: str | Path, flow: np.ndarray, valid: np.ndarray | None = None) -> None:
    """Write a KITTI flow png, whole or not at all; flow is rounded to 1/64 px.

    Args:
        path: the file.
        flow: (h,w,2) float32, px, in [-512, 512) where valid.
        valid: (h,w) bool, None = all; NaN counts as not valid.

    Raises:
        FlowsimError: wrong shape, or flow that is too long for the format.
    """
    import cv2

    known = _known(flow, valid)
    stored = np.rint(np.where(known[..., None], flow, 0) * _KITTI_SCALE) + _KITTI_ZERO
    if stored.min() < 0 or stored.max() > 65_535:
        longest = float(np.abs(flow[known]).max())
        raise FlowsimError(f"{path}: flow of {longest:.1f} px does not fit KITTI's 16 bits (below 512 px); write .flo")
    channels = np.zeros((*known.shape, 3), np.uint16)
    channels[..., 2], channels[..., 1], channels[..., 0] = stored[..., 0], stored[..., 1], known
    channels[~known] = 0
    _, encoded = cv2.imencode(".png", channels)
    _write_whole(path, encoded.tobytes())


def _read(path: str | Path) -> bytes:
    """Return the content of a regular file; reading a pipe could block, and a device may have no end."""
    found = Path(path).stat()
    if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST_FILE:
        raise FlowsimError(f"{path}: not a regular file of at most {_LARGEST_FILE:,} bytes, expected a flow file")
    return Path(path).read_bytes()


def _known(flow: np.ndarray, valid: np.ndarray | None) -> np.ndarray:
    """Check the shapes, and return the mask of pixels whose flow is valid and finite."""
    if flow.ndim != 3 or flow.shape[-1] != 2 or flow.size == 0:
        raise FlowsimError(f"flow has shape {flow.shape}, expected (h,w,2), not empty")
    if valid is not None and (valid.shape != flow.shape[:-1] or valid.dtype != np.bool_):
        raise FlowsimError(f"valid is {valid.dtype} of shape {valid.shape}, expected bool {flow.shape[:-1]}")
    known: np.ndarray = np.abs(flow).max(-1) <= UNKNOWN_FLOW_PX
    return known if valid is None else known & valid


def _write_whole(path: str | Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it, so that a killed process leaves no incomplete file."""
    target = Path(path)
    partial = target.with_name(f".{uuid.uuid4().hex}.partial")  # valid even if the name is as long as allowed
    partial.write_bytes(content)
    partial.replace(target)
