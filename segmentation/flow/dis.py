"""Optical flow by OpenCV's DIS (Kroeger et al., ECCV 2016): no weights, a few hundredths of a second per frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from segmentation.errors import FlowError

SMALLEST_SIDE = 32
"""Smallest side of a frame: the patches of the coarsest scale have 8 px."""


class Dis:
    """Estimates flow between the frames of a video; the values do not depend on the number of threads."""

    name: str = "DIS"
    precision: str = "float32"

    def __init__(self) -> None:
        # DIS passes its search on from patch to patch within as many stripes as there are threads.
        cv2.setNumThreads(1)

    def pair(
        self, first: UInt8[np.ndarray, "h w 3"], second: UInt8[np.ndarray, "h w 3"]
    ) -> Float32[np.ndarray, "h w 2"]:
        """Estimate the flow between two frames of one size, px, in the calling thread.

        Raises:
            FlowError: a side is below 32 px.
        """
        return _flow(_grey(first), _grey(second))

    def stream(
        self, frames: Iterable[UInt8[np.ndarray, "h w 3"]], pairs: Sequence[tuple[int, int]]
    ) -> Iterator[Float32[np.ndarray, "h w 2"]]:
        """Estimate flow between any frames of a video, which is read once.

        Args:
            frames: (h,w,3) uint8 RGB, all of one size, in the order of time.
            pairs: positions of frames (from, to), in the order of time.

        Yields:
            (h,w,2) float32 px for each pair, in their order.

        Raises:
            FlowError: frames end before the last pair, or a side is below 32 px.
        """
        last_use = {position: place for place, pair in enumerate(pairs) for position in pair}
        source = enumerate(frames)
        known: dict[int, np.ndarray] = {}
        for place, (first, second) in enumerate(pairs):
            while not {first, second} <= known.keys():
                position, image = next(source, (-1, None))
                if image is None:
                    raise FlowError(f"the video ends before frame {max(first, second)}, which is needed")
                known[position] = _grey(image)
            yield _flow(known[first], known[second])
            known = {position: grey for position, grey in known.items() if last_use.get(position, -1) > place}


def _grey(image: UInt8[np.ndarray, "h w 3"]) -> np.ndarray:
    if min(image.shape[:2]) < SMALLEST_SIDE:
        raise FlowError(f"frames are {image.shape[1]}x{image.shape[0]}; DIS needs {SMALLEST_SIDE} px on both sides")
    grey: np.ndarray = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    return grey


def _flow(first: np.ndarray, second: np.ndarray) -> Float32[np.ndarray, "h w 2"]:
    estimator: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow: np.ndarray = estimator.calc(first, second, None)
    return flow
