"""Inference with the two-stream network, from frames and flow to masks."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from depth.streams import map_on_cores
from segmentation.network.model import TwoStreamNetwork
from segmentation.network.precision import autocast
from segmentation.network.resize import resize_bicubic
from segmentation.network.winograd import use_winograd

Pixels = UInt8[np.ndarray, "h w 3"]
Mask = Bool[np.ndarray, "h w"]
Colors = UInt8[np.ndarray, "rows columns 3"]
Pair = tuple[Pixels, Colors]

_GPU_BATCH = 16
_CPU_FRAMES_PER_CORE = 2


class Segmenter:
    """Segments frames of any size; serves one caller at a time.

    On the CPU each frame is computed on one core: its mask depends neither on the frames beside it nor on the number of
    cores. On a GPU frames are computed together.

    Args:
        network: moved to the device, and put into evaluation mode.
        device: `cpu` or `cuda`.
        precision: on a GPU, `float32` as published, or `bfloat16`.

    Attributes:
        busy_seconds: how long the network has worked.
        idle_seconds: how long it had nothing to do, from `start_clock` to the end of its last work.
    """

    def __init__(self, network: TwoStreamNetwork, device: str, precision: str = "float32") -> None:
        self._device, self._precision = torch.device(device), precision
        if device == "cpu":
            use_winograd(network)
        self._network = network.eval().to(self._device)
        self._turn = threading.Lock()
        self._free_since = time.perf_counter()
        self._is_clock_running = False
        self.busy_seconds = self.idle_seconds = 0.0

    @property
    def batch(self) -> int:
        """Recommended number of frames for one call."""
        is_cpu = self._device.type == "cpu"
        return _CPU_FRAMES_PER_CORE * torch.get_num_threads() if is_cpu else _GPU_BATCH

    def start_clock(self) -> None:
        """Start to count idle time, unless it is being counted already."""
        with self._turn:
            if not self._is_clock_running:
                self._free_since, self._is_clock_running = time.perf_counter(), True

    def take_seconds(self) -> tuple[float, float]:
        """Return busy and idle seconds since the last call."""
        with self._turn:
            taken = self.busy_seconds, self.idle_seconds
            self.busy_seconds = self.idle_seconds = 0.0
            return taken

    def __call__(self, pairs: Sequence[Pair]) -> list[Mask]:
        """Segment frames.

        Args:
            pairs: frame and the colours of its flow, both (h,w,3) uint8 RGB; each is resized to the network's square,
                whatever its size.

        Returns:
            (h,w) bool for each, of the frame's size, True = object.
        """
        with self._turn:
            started = time.perf_counter()
            self.idle_seconds += started - self._free_since
            if self._device.type == "cpu":
                masks = map_on_cores(lambda pair: self._segment([pair])[0], pairs)
            else:
                masks = self._segment(pairs)
            self._free_since = time.perf_counter()
            self.busy_seconds += self._free_since - started
        return masks

    @torch.inference_mode()
    def _segment(self, pairs: Sequence[Pair]) -> list[Mask]:
        images, colors = (torch.cat([self._square(pair[place]) for pair in pairs]) for place in (0, 1))
        with autocast(self._precision, self._device.type):
            logits: Tensor = self._network(images, colors)
        resized = (
            resize_bicubic(of_frame, image.shape[:2])[0]
            for of_frame, (image, _) in zip(logits[:, None], pairs, strict=True)
        )
        masks = [is_object > background for background, is_object in resized]
        return [mask.cpu().numpy() for mask in masks]  # only now: a GPU works on all before the first is waited for

    def _square(self, pixels: UInt8[np.ndarray, "_ _ 3"]) -> Tensor:
        """Resize a picture (h,w,3) uint8 to (1,3,s,s) float in [0,1] in the same way as the network."""
        # A copy: decoded photos are read-only, which torch does not like.
        values = torch.from_numpy(np.array(pixels)).to(self._device).permute(2, 0, 1)[None].float() / 255
        side = self._network.side_px
        return resize_bicubic(values, (side, side))
