"""Optical flow by OpenCV's DIS (Kroeger et al., ECCV 2016), which needs no weights."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from segmentation.flow.pair_by_pair import PairByPair


def load_dis(upscale: bool = False) -> PairByPair:
    """Return DIS with its preset of medium quality; its values do not depend on the number of threads.

    Args:
        upscale: whether to enlarge frames with a side below 32 px instead of refusing them.
    """
    # DIS passes its search on from patch to patch within as many stripes as there are threads.
    cv2.setNumThreads(1)
    return PairByPair("dis", "DIS", _flow, "cpu", upscale)


def _flow(first: UInt8[np.ndarray, "h w 3"], second: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w 2"]:
    grey = [cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in (first, second)]
    estimator: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow: np.ndarray = estimator.calc(grey[0], grey[1], None)
    return flow
