"""Estimators that know one pair of frames at a time, such as DIS, and flow between frames that are enlarged for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float32, UInt8

from depth.streams import map_on_cores
from segmentation.errors import FlowError
from segmentation.flow.frame_sizes import check_size, smallest_side

Image = UInt8[np.ndarray, "h w 3"]
Flow = Float32[np.ndarray, "h w 2"]
EstimateOfPair = Callable[[Image, Image], Flow]


@dataclass(frozen=True)
class PairByPair:
    """Estimates flow between the frames of a video, each pair on its own.

    On the CPU each pair is computed on one core from beginning to end, and several at a time.

    Attributes:
        estimator: name of the estimator, as on the command line.
        name: name of the estimator, with that of its weights.
        estimate: function from two frames (h,w,3) uint8 RGB to the flow (h,w,2) float32 px; threads may share it.
        device: device of torch that it runs on.
        upscale: whether frames that are too small are enlarged and their flow is scaled back, or refused.
    """

    estimator: str
    name: str
    estimate: EstimateOfPair
    device: str
    upscale: bool
    precision: str = "float32"

    def pair(self, first: Image, second: Image) -> Flow:
        """Return the flow in px between two frames of one size, computed in the calling thread.

        Raises:
            FlowError: the frames are too small without `upscale`.
        """
        height, width = first.shape[:2]
        check_size(self.estimator, height, width, self.upscale)
        return estimate_enlarged(self.estimate, first, second, smallest_side(self.estimator) / min(height, width))

    def stream(self, frames: Iterable[Image], pairs: Sequence[tuple[int, int]]) -> Iterator[Flow]:
        """Estimate flow between any frames of a video, which is read once.

        Args:
            frames: (h,w,3) uint8 RGB, all of one size, in the order of time.
            pairs: positions of frames (from, to), in the order of time.

        Yields:
            (h,w,2) float32 px for each pair, in their order.

        Raises:
            FlowError: frames end before the last pair, are of several sizes, or too small without `upscale`.
        """
        last_use = {position: place for place, pair in enumerate(pairs) for position in pair}
        source = enumerate(frames)
        known: dict[int, Image] = {}
        size: tuple[int, ...] = ()
        at_a_time = torch.get_num_threads() if self.device == "cpu" else 1
        for start in range(0, len(pairs), at_a_time):
            chosen = pairs[start : start + at_a_time]
            while missing := {position for pair in chosen for position in pair} - known.keys():
                position, image = next(source, (-1, None))
                if image is None:
                    raise FlowError(f"the video ends before frame {max(missing)}, which is needed")
                size = size or image.shape
                if image.shape != size:
                    raise FlowError(
                        f"frame {position} is {image.shape[1]}x{image.shape[0]}, the frames before it "
                        f"{size[1]}x{size[0]}; expected frames of one size"
                    )
                if last_use.get(position, -1) >= start:
                    known[position] = image
            images = [(known[first], known[second]) for first, second in chosen]
            yield from map_on_cores(lambda pair: self.pair(*pair), images)
            known = {position: image for position, image in known.items() if last_use[position] >= start + at_a_time}


def estimate_enlarged(estimate: EstimateOfPair, first: Image, second: Image, factor: float) -> Flow:
    """Estimate flow between enlarged frames.

    Args:
        estimate: function from two frames to their flow.
        first: frame of any size.
        second: frame of the same size.
        factor: size of the enlarged frames relative to the given ones; up to 1, frames stay as they are.

    Returns:
        Flow in pixels of the given frames.
    """
    if factor <= 1:
        return estimate(first, second)
    height, width = first.shape[:2]
    size = round(width * factor), round(height * factor)
    frames = [cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC) for frame in (first, second)]
    flow: np.ndarray = cv2.resize(estimate(frames[0], frames[1]), (width, height), interpolation=cv2.INTER_AREA)
    flow *= np.array([width / size[0], height / size[1]], np.float32)
    return flow
