"""Flow of the frames of a video in the steps in which it is stored: what every network sees, stored or not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from jaxtyping import Int16, UInt8

from pipeline.dataset.schema import encode_flow
from segmentation.flow.estimators import Estimator


def pair_of(frame: int, frames: int, stride: int = 1) -> tuple[int, int]:
    """Return the numbers of the frames between which the flow of a frame is estimated.

    Args:
        frame: number of the frame, from 0.
        frames: number of frames of the video, more than `stride`.
        stride: distance of the two frames.

    Returns:
        The frame and the one `stride` later; for the last frames, the one `stride` before.
    """
    return frame, frame + stride if frame + stride < frames else frame - stride


def estimate_steps(
    estimator: Estimator, frames: Iterable[UInt8[np.ndarray, "h w 3"]], pairs: Sequence[tuple[int, int]]
) -> Iterator[Int16[np.ndarray, "h w 2"]]:
    """Yield the flow of frames in steps of 1/64 px, as `encode_flow` makes them.

    Args:
        estimator: estimator of the flow.
        frames: (h,w,3) uint8 RGB, in the order of time.
        pairs: positions in `frames` from `pair_of`, in the order of time; flow to an earlier frame is negated.

    Raises:
        FlowError: a frame cannot be read, or has another size.
    """
    for flow_px, (first, second) in zip(estimator.stream(frames, pairs), pairs, strict=True):
        yield encode_flow(flow_px if first < second else -flow_px, np.ones(flow_px.shape[:2], bool))
