"""`DepthEstimator`, which estimates normalised inverse depth of photos on the CPU or a GPU."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from depth.errors import DepthError
from depth.loading import load_depth_network
from depth.model_files import ModelFiles, find_model
from depth.networks import to_inverse_depth
from depth.preprocess import (
    Map,
    Photo,
    Shape,
    network_shape,
    prepare_on_device,
    prepare_on_host,
    restore_on_device,
    restore_on_host,
)
from depth.streams import map_on_cores
from depth.weights import DEFAULT_MODEL, EMBEDDED_MODEL

GPU_BATCH = 32
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
CHOICES = {
    "resize": ("aspect", "square"),
    "normalization": ("minmax", "percentile"),
    "precision": ("auto", *PRECISIONS),
}


@dataclasses.dataclass(frozen=True)
class EstimatorOptions:
    """Options of a `DepthEstimator`.

    Attributes:
        device: `cpu`, `cuda` or `cuda:1`.
        resize: `aspect` keeps the photo's aspect ratio, as published; `square` ignores it, as the hub's processors do.
        normalization: `minmax`, or `percentile` to clip outliers at the 2nd and 98th percentile of the map.
        precision: `auto` means bfloat16 on GPUs (float16 if the GPU lacks it) and on CPUs with matrix units, and
            float32 elsewhere; the embedded model runs in float32 on all CPUs.
        compile: whether to compile the network with torch.compile. That takes minutes, and pays for thousands of photos
            on a GPU.
    """

    device: str = "cpu"
    resize: str = "aspect"
    normalization: str = "minmax"
    precision: str = "auto"
    compile: bool = False

    def __post_init__(self) -> None:
        for field, allowed in CHOICES.items():
            if getattr(self, field) not in allowed:
                raise DepthError(f"{field} is {getattr(self, field)!r}; expected one of {', '.join(allowed)}.")


@dataclasses.dataclass
class _Running:
    """A batch that a device is working on: indices of its photos in the call, their maps, and the event of its end."""

    places: list[int]
    maps: list[Tensor]
    done: torch.cuda.Event | None


class DepthEstimator:
    """Estimates normalised inverse depth; built by `DepthEstimator.load`.

    On the CPU each photo runs alone on one core, and as many photos at a time as torch has threads. The bits of a map
    depend neither on the other photos nor on the number of threads. On a GPU, photos of one shape share batches.
    """

    def __init__(self, network: nn.Module, files: ModelFiles, options: EstimatorOptions) -> None:
        self.device = find_device(options.device)
        self._files, self._options = files, options
        self._input = files.input.resized(options.resize)
        self._precision = _choose_precision(options.precision, self.device, files.id)
        network = network.to(self.device).to(memory_format=torch.channels_last)
        self._network: Any = torch.compile(network) if options.compile else network
        self._batch = GPU_BATCH
        self._was_halved = False

    @classmethod
    def load(cls, model: str = DEFAULT_MODEL, **options: Any) -> DepthEstimator:
        """Load a depth network.

        Args:
            model: `tiny-dpt` (embedded), a hub id, a model folder, or the path of an isl-org checkpoint (.pt).
            **options: values of the fields of `EstimatorOptions`.

        Raises:
            DepthError: the model is unknown, unreachable, damaged or not a depth network, or there is no such device.
        """
        chosen = EstimatorOptions(**options)
        find_device(chosen.device)  # fail before gigabytes are read
        files = find_model(model)
        return cls(load_depth_network(files), files, chosen)

    def __call__(self, photos: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Estimate the inverse depth of photos.

        Args:
            photos: each (h, w, 3) uint8 RGB, of any size.

        Returns:
            For each photo, in order, (h, w) float32 in [0, 1], 1 = nearest. A map is zero if the network's output is
            constant, and NaN if its output is not finite.

        Raises:
            DepthError: a photo is not (h, w, 3) uint8, or the device's memory is too small.
        """
        for index, photo in enumerate(photos):
            if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or 0 in photo.shape:
                raise DepthError(f"Photo {index} is {photo.dtype} {photo.shape}; expected (h, w, 3) uint8 RGB.")
        if self.device.type == "cpu":
            return map_on_cores(self._estimate_alone, photos)
        return self._estimate_batches(photos)

    def provenance(self) -> dict[str, Any]:
        """Return model, weights and processing as JSON values, for the attributes of a dataset."""
        options = self._options
        described = self._files.describe(resize=options.resize, normalization=options.normalization)
        return {**described, "precision": self.precision}

    @property
    def precision(self) -> str:
        """Arithmetic of the network, such as `float32`."""
        return str(self._precision).removeprefix("torch.")

    @torch.inference_mode()
    def _estimate_alone(self, photo: Photo) -> Map:
        rule = self._input
        inverse = self._infer(prepare_on_host(photo, network_shape(photo, rule), rule))
        return restore_on_host(inverse[0], photo.shape[:2], self._options.normalization)

    def _estimate_batches(self, photos: Sequence[Photo]) -> list[Map]:
        """Keep a batch on the device while the next is prepared; halve the batches once if memory runs out."""
        maps: dict[int, Map] = {}
        waiting: _Running | None = None
        batches = deque(self._plan(photos))
        while batches:
            places = batches.popleft()
            running = self._start(places, photos)
            if waiting:
                maps.update(_finish(waiting))
            waiting = running
            if running is None:
                torch.cuda.empty_cache()
                batches = deque(part for group in (places, *batches) for part in self._split(group))
        if waiting:
            maps.update(_finish(waiting))
        return [maps[place] for place in range(len(photos))]

    def _plan(self, photos: Sequence[Photo]) -> list[list[int]]:
        """Return the indices of each batch's photos; a batch holds at most `_batch` photos of one network shape."""
        groups: dict[Shape, list[int]] = {}
        for place, photo in enumerate(photos):
            groups.setdefault(network_shape(photo, self._input), []).append(place)
        return [part for group in groups.values() for part in self._split(group)]

    def _split(self, places: list[int]) -> list[list[int]]:
        return [places[i : i + self._batch] for i in range(0, len(places), self._batch)]

    def _start(self, places: list[int], photos: Sequence[Photo]) -> _Running | None:
        """Start the work on a batch; return None if the device's memory ran out for the first time."""
        try:
            return self._submit(places, photos)
        except torch.OutOfMemoryError as error:
            if self._was_halved or len(places) == 1:
                raise DepthError(
                    f"{self.device} has too little memory for {self._files.id} with {len(places)} photos at a time. "
                    "Free memory on the device, or use a smaller model or device 'cpu'."
                ) from error
        self._was_halved, self._batch = True, (len(places) + 1) // 2
        warnings.warn(
            f"{self.device} ran out of memory with {len(places)} photos at a time: continuing with {self._batch}.",
            RuntimeWarning,
            stacklevel=4,
        )
        return None

    @torch.inference_mode()
    def _submit(self, places: list[int], photos: Sequence[Photo]) -> _Running:
        chosen = [photos[place] for place in places]
        shape = network_shape(chosen[0], self._input)
        is_cuda = self.device.type == "cuda"
        with torch.cuda.device(self.device) if is_cuda else contextlib.nullcontext():
            inverse = self._infer(prepare_on_device(chosen, shape, self._input, self.device))
            maps = []
            for output, photo in zip(inverse, chosen, strict=True):
                restored = restore_on_device(output, photo.shape[:2], self._options.normalization)
                maps.append(torch.empty(restored.shape, pin_memory=is_cuda).copy_(restored, non_blocking=True))
            done = torch.cuda.current_stream().record_event() if is_cuda else None
        return _Running(places, maps, done)

    def _infer(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b rows columns"]:
        is_reduced = self._precision != torch.float32
        with (
            torch.autocast(self.device.type, self._precision, enabled=is_reduced),
            # TensorFloat-32 would leave 10 bits of float32.
            torch.backends.cudnn.flags(enabled=True, allow_tf32=is_reduced),
        ):
            output = self._network(pixels)
        return to_inverse_depth(output, self._files.meaning)


def _finish(running: _Running) -> dict[int, Map]:
    """Wait for a batch and return its maps by the indices of their photos."""
    if running.done:
        running.done.synchronize()
    return {place: one.numpy() for place, one in zip(running.places, running.maps, strict=True)}


def _choose_precision(precision: str, device: torch.device, model: str) -> torch.dtype:
    if precision != "auto":
        return PRECISIONS[precision]
    if device.type == "cuda":
        has_bfloat16 = torch.cuda.get_device_capability(device) >= (8, 0)
        return torch.bfloat16 if has_bfloat16 else torch.float16
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.4 lacks it
    has_matrix_units = bool(capabilities.get("amx_bf16", False))
    return torch.bfloat16 if has_matrix_units and model != EMBEDDED_MODEL else torch.float32


def find_device(device: str) -> torch.device:
    """Return the torch device with this name.

    Raises:
        DepthError: the name is unknown, or the machine has no such device.
    """
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise DepthError(f"Device {device!r} is unknown; expected 'cpu', 'cuda' or 'cuda:N'.") from error
    if found.type not in ("cpu", "cuda"):
        raise DepthError(f"Device {device!r} is not supported; expected 'cpu', 'cuda' or 'cuda:N'.")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise DepthError(
            f"Device {device!r} was asked for, but torch sees {torch.cuda.device_count()} CUDA devices. "
            "Use device 'cpu', or install a CUDA build of torch and check the driver with `nvidia-smi`."
        )
    return found
