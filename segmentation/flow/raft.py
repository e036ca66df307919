"""Optical flow of a video in pixels by RAFT (Teed & Deng, ECCV 2020), in bounded memory."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from depth.streams import map_on_cores
from pipeline.engine.placement import count_of
from segmentation.errors import FlowError
from segmentation.flow.correlation import volume_bytes
from segmentation.flow.frame_sizes import RAFT_SIDE_PX, check_size
from segmentation.flow.raft_names import DEFAULT_ITERATIONS, DEFAULT_WEIGHTS, Size
from segmentation.flow.raft_network import RaftNetwork
from segmentation.flow.raft_weights import LoadedRaft, open_raft

Image = UInt8[np.ndarray, "h w 3"]
Flow = Float32[np.ndarray, "h w 2"]
Pair = tuple[int, int]

_LARGEST_BATCH = 16
_BATCH_BYTES = 4 << 30
"""Largest size of the correlations of all pairs that are computed at the same time."""


@dataclass(frozen=True)
class _Encoded:
    """An encoded frame: its features, and its context if flow starts from it."""

    features: Tensor
    context: Tensor | None


class Raft:
    """Estimates flow between the frames of a video.

    On the CPU each pair is computed on one core from beginning to end, so that the values depend neither on the number
    of threads nor on the other frames. On a GPU pairs are batched and computed in bfloat16.

    Attributes:
        loaded: network with the name and the sha256 of its weights.
        iterations: number of updates of the flow field; the authors evaluate with 12 to 32.
        upscale: whether frames with a side below 128 px are enlarged and their flow is scaled back, or refused.
    """

    def __init__(
        self, loaded: LoadedRaft, device: str, iterations: int = DEFAULT_ITERATIONS, upscale: bool = False
    ) -> None:
        if iterations < 1:
            raise FlowError(f"{iterations} iterations; expected 1 or more, {DEFAULT_ITERATIONS} by default")
        self.loaded = loaded
        self.iterations = iterations
        self.upscale = upscale
        self._device = torch.device(device)
        self._network = RaftNetwork(loaded.network, self._device)
        self._threads = torch.get_num_threads()
        self._turn = threading.Lock()  # on a GPU, two batches at a time would only need twice the memory

    @property
    def name(self) -> str:
        """Name of the estimator, with that of its weights."""
        return f"RAFT ({self.loaded.name})"

    @property
    def precision(self) -> str:
        """Arithmetic of the network."""
        return "float32" if self._device.type == "cpu" else "bfloat16"

    def __call__(self, frames: UInt8[np.ndarray, "t h w 3"]) -> Float32[np.ndarray, "t-1 h w 2"]:
        """Estimate flow from each frame to the next.

        Args:
            frames: (t,h,w,3) uint8 RGB, two or more.

        Returns:
            (t-1,h,w,2) float32 px, u to the right, v down.

        Raises:
            FlowError: there are less than two frames, or frames are below 128 px without `upscale`.
        """
        if len(frames) < 2:
            raise FlowError(f"flow needs two frames, here is {len(frames)}")
        flow_px = np.empty((len(frames) - 1, *frames.shape[1:3], 2), np.float32)
        for place, flow in enumerate(self.stream(frames, list(itertools.pairwise(range(len(frames)))))):
            flow_px[place] = flow
        return flow_px

    def stream(self, frames: Iterable[Image], pairs: Sequence[Pair]) -> Iterator[Flow]:
        """Estimate flow between any frames of a video, which is read once and never held in memory as a whole.

        Args:
            frames: (h,w,3) uint8 RGB, all of one size, in the order of time.
            pairs: positions of frames (from, to); where a pair needs a later frame than another, it comes after it.

        Yields:
            (h,w,2) float32 px for each pair, in their order.

        Raises:
            FlowError: frames end before the last pair, differ in size, or are below 128 px without `upscale`.
        """
        if not pairs:
            return
        source = iter(frames)
        opening = next(source, None)
        if opening is None:
            raise FlowError("the video has no frames")
        fit = _Fit.of(opening, self.upscale)
        images = fit.check(itertools.chain([opening], source))
        last_use = {position: place for place, pair in enumerate(pairs) for position in pair}
        starts = {first for first, _ in pairs}
        known: dict[int, _Encoded] = {}
        read = 0
        for places in _batches(len(pairs), self._batch_of(fit)):
            chosen = [pairs[place] for place in places]
            end = 1 + max(max(pair) for pair in chosen)
            arrived = list(enumerate(itertools.islice(images, max(0, end - read)), read))
            read += len(arrived)
            if read < end:
                raise FlowError(f"the video ends after {count_of(read, 'frame')}, but frame {end - 1} is needed")
            needed = [(position, image) for position, image in arrived if last_use.get(position, -1) >= places.start]
            known |= self._encode(needed, fit, starts)
            yield from map(fit.restore, self._estimate([(known[first], known[second]) for first, second in chosen]))
            known = {position: kept for position, kept in known.items() if last_use[position] >= places.stop}

    def pair(self, first: Image, second: Image) -> Flow:
        """Estimate the flow between two frames in the calling thread.

        Args:
            first: (h,w,3) uint8 RGB.
            second: the frame that the flow points to, of the same size.

        Returns:
            (h,w,2) float32 px.

        Raises:
            FlowError: the frames differ in size, or are below 128 px without `upscale`.
        """
        fit = _Fit.of(first, self.upscale)
        one, other = fit.check([first, second])
        encoded = self._encode_one(one, fit, True), self._encode_one(other, fit, False)
        return fit.restore(self._estimate_together([encoded])[0])

    def _batch_of(self, fit: _Fit) -> int:
        """Return the number of pairs that are computed together."""
        fitting = max(1, _BATCH_BYTES // volume_bytes(*fit.padded))
        return min(fitting, self._threads if self._device.type == "cpu" else _LARGEST_BATCH)

    def _encode(self, images: list[tuple[int, Image]], fit: _Fit, starts: Container[int]) -> dict[int, _Encoded]:
        if self._device.type == "cpu":
            return dict(map_on_cores(lambda item: (item[0], self._encode_one(item[1], fit, item[0] in starts)), images))
        with self._turn:  # a frame is large enough to fill a GPU
            return {position: self._encode_one(image, fit, position in starts) for position, image in images}

    @torch.inference_mode()
    def _encode_one(self, image: Image, fit: _Fit, is_start: bool) -> _Encoded:
        pixels = fit.prepare(torch.from_numpy(np.array(image)).to(self._device))
        return _Encoded(self._network.features(pixels), self._network.context(pixels) if is_start else None)

    def _estimate(self, pairs: list[tuple[_Encoded, _Encoded]]) -> Iterable[Float[Tensor, "2 h w"]]:
        if self._device.type == "cpu":
            return map_on_cores(lambda pair: self._estimate_together([pair])[0], pairs)
        with self._turn:
            return self._estimate_together(pairs)

    @torch.inference_mode()
    def _estimate_together(self, pairs: list[tuple[_Encoded, _Encoded]]) -> Float[Tensor, "b 2 h w"]:
        contexts = [first.context for first, _ in pairs if first.context is not None]
        first = torch.cat([first.features for first, _ in pairs])
        second = torch.cat([second.features for _, second in pairs])
        return self._network.flow(first, torch.cat(contexts), second, self.iterations)


@dataclass(frozen=True)
class _Fit:
    """Conversion of frames of `height` x `width` px to the input of the network, and of flow back to the frame.

    Frames are scaled to `scaled` (height, width) if they are too small, then padded to `padded`, multiples of 8, by
    repeating the border, half on each side, as in the evaluation of the authors.
    """

    height: int
    width: int
    scaled: tuple[int, int]
    padded: tuple[int, int]

    @classmethod
    def of(cls, image: Image, upscale: bool) -> _Fit:
        height, width = image.shape[:2]
        check_size("raft", height, width, upscale)
        factor = max(1.0, RAFT_SIDE_PX / min(height, width))
        scaled = round(height * factor), round(width * factor)
        return cls(height, width, scaled, (-(-scaled[0] // 8) * 8, -(-scaled[1] // 8) * 8))

    def check(self, images: Iterable[Image]) -> Iterator[Image]:
        """Yield frames; raise if one has another size than the first."""
        for position, image in enumerate(images):
            if image.shape[:2] != (self.height, self.width):
                raise FlowError(
                    f"frame {position} is {_size(image)}, the frames before it {self.width}x{self.height}; "
                    "expected frames of one size"
                )
            yield image

    def prepare(self, pixels: UInt8[Tensor, "h w 3"]) -> Float[Tensor, "1 3 h2 w2"]:
        """Return the padded frame with values in [-1, 1]."""
        values = pixels.permute(2, 0, 1)[None].float()
        if self.scaled != (self.height, self.width):
            values = F.interpolate(values, self.scaled, mode="bilinear", align_corners=False)
        return F.pad(values / 255 * 2 - 1, self._margins(), mode="replicate")

    def restore(self, flow: Float[Tensor, "2 h2 w2"]) -> Flow:
        """Return the flow without padding and scaling; vectors are scaled back as well."""
        left, right, top, bottom = self._margins()
        cut = flow[:, top : flow.shape[1] - bottom, left : flow.shape[2] - right]
        if self.scaled != (self.height, self.width):
            cut = F.interpolate(cut[None], (self.height, self.width), mode="bilinear", align_corners=False)[0]
            scale = torch.tensor([self.width / self.scaled[1], self.height / self.scaled[0]], device=cut.device)
            cut = cut * scale[:, None, None]
        restored: Flow = cut.permute(1, 2, 0).contiguous().cpu().numpy()
        return restored

    def _margins(self) -> tuple[int, int, int, int]:
        across, down = self.padded[1] - self.scaled[1], self.padded[0] - self.scaled[0]
        return across // 2, across - across // 2, down // 2, down - down // 2


def load_raft(
    weights: str = DEFAULT_WEIGHTS,
    device: str = "cpu",
    *,
    size: Size | None = None,
    iterations: int = DEFAULT_ITERATIONS,
    upscale: bool = False,
) -> Raft:
    """Load RAFT with its weights.

    Args:
        weights: `raft-large` (torchvision's default), `raft-things` or `raft-small` (those of the authors), another of
            torchvision's such as `raft-large:C_T_V2`, or the path of a checkpoint of either project.
        device: name of the device in torch.
        size: network that the weights must belong to; None = either.
        iterations: number of updates of the flow field.
        upscale: whether to enlarge frames with a side below 128 px instead of refusing them.

    Raises:
        FlowError: there are no such weights, or they are not those of RAFT.
    """
    return Raft(open_raft(weights, size), device, iterations, upscale)


def _batches(count: int, size: int) -> Iterator[range]:
    return (range(start, min(start + size, count)) for start in range(0, count, size))


def _size(image: Image) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"
