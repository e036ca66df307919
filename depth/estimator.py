"""`DepthEstimator`: photos to maps of normalised inverse depth, in dense batches, on the CPU or a GPU."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from depth.errors import DepthError
from depth.networks import LoadedNetwork, to_inverse_depth
from depth.preprocess import (
    Map,
    Normalization,
    Photo,
    network_shape,
    prepare_on_device,
    prepare_on_host,
    restore_on_device,
    restore_on_host,
)
from depth.sources import open_network
from depth.weights import DEFAULT_MODEL

CPU_BATCH = 8
GPU_BATCH = 32


@dataclasses.dataclass
class _Batch:
    """Photos of one network shape, by their place in the call, and their maps as far as they exist."""

    shape: tuple[int, int]
    places: list[int]


class DepthEstimator:
    """Estimate normalised inverse depth; made by `DepthEstimator.load`."""

    def __init__(
        self,
        loaded: LoadedNetwork,
        *,
        device: str = "cpu",
        resize: Literal["aspect", "square"] = "aspect",
        normalization: Normalization = "minmax",
        compile: bool = False,
    ) -> None:
        self._device = _find_device(device)
        if resize not in ("aspect", "square"):
            raise DepthError(f"resize is {resize!r}; expected 'aspect' (as published) or 'square'.")
        if normalization not in ("minmax", "percentile"):
            raise DepthError(f"normalization is {normalization!r}; expected 'minmax' or 'percentile'.")
        rule = dataclasses.replace(loaded.input, fit="square") if resize == "square" else loaded.input
        self._loaded = dataclasses.replace(loaded, input=rule)
        self._normalization: Normalization = normalization
        self._network: nn.Module = loaded.network.to(self._device, memory_format=torch.channels_last)
        self._run: Any = torch.compile(self._network) if compile else self._network
        self._batch = GPU_BATCH if self._device.type == "cuda" else CPU_BATCH

    @classmethod
    def load(
        cls,
        model: str = DEFAULT_MODEL,
        *,
        device: str = "cpu",
        resize: Literal["aspect", "square"] = "aspect",
        normalization: Normalization = "minmax",
        compile: bool = False,
    ) -> DepthEstimator:
        """Load a depth network.

        Args:
            model: `tiny-dpt` (embedded), a hub id, a model folder, or the path of an isl-org checkpoint (.pt).
            device: `cpu`, `cuda` or `cuda:1`.
            resize: `aspect` keeps the photo's aspect as published; `square` squashes it, as the hub's processors do.
            normalization: `minmax`, or `percentile` (2nd to 98th, clipped) against outliers.
            compile: compile the network with torch.compile; slow at first, worth it for thousands of photos.

        Raises:
            DepthError: unknown model, no network, damaged or foreign weights, no depth, no such device.
        """
        device_found = str(_find_device(device))
        return cls(open_network(model), device=device_found, resize=resize, normalization=normalization, compile=compile)

    def __call__(self, photos: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Estimate the inverse depth of photos.

        Args:
            photos: each (h, w, 3) uint8 RGB, of any size.

        Returns:
            For each photo in order (h, w) float32 in [0, 1], 1 = nearest. Zeros where the network sees no depth at
            all (constant output); all NaN where its output is not finite.

        Raises:
            DepthError: a photo is not (h, w, 3) uint8.
        """
        for index, photo in enumerate(photos):
            if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or 0 in photo.shape:
                raise DepthError(f"Photo {index} is {photo.dtype} {photo.shape}; expected (h, w, 3) uint8 RGB.")
        maps: dict[int, np.ndarray] = {}
        for batch in self._plan(photos):
            maps.update(zip(batch.places, self._estimate(batch, photos), strict=True))
        return [maps[index] for index in range(len(photos))]

    def provenance(self) -> dict[str, Any]:
        """Return what a dataset must say about its depth, as plain JSON values."""
        loaded = self._loaded
        return {
            "model": loaded.id,
            "revision": loaded.revision,
            "sha256": loaded.sha256,
            "output": loaded.meaning,
            "input": loaded.input.describe(),
            "normalization": self._normalization,
            "precision": "float32" if self._device.type == "cpu" else "autocast bfloat16",
            "licence": loaded.licence,
        }

    def _plan(self, photos: Sequence[Photo]) -> list[_Batch]:
        groups: dict[tuple[int, int], list[int]] = {}
        for place, photo in enumerate(photos):
            groups.setdefault(network_shape(*photo.shape[:2], self._loaded.input), []).append(place)
        return [
            _Batch(shape, places[i : i + self._batch])
            for shape, places in groups.items()
            for i in range(0, len(places), self._batch)
        ]

    @torch.inference_mode()
    def _estimate(self, batch: _Batch, photos: Sequence[Photo]) -> list[Map]:
        chosen = [photos[place] for place in batch.places]
        inverse = self._infer(prepare_on_host(chosen, batch.shape, self._loaded.input))
        return [
            restore_on_host(output, *photo.shape[:2], self._normalization)
            for output, photo in zip(inverse, chosen, strict=True)
        ]

    def _infer(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b rows columns"]:
        return to_inverse_depth(self._run(pixels), self._loaded.meaning)


def _find_device(device: str) -> torch.device:
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise DepthError(f"Device {device!r} is unknown; expected 'cpu', 'cuda' or 'cuda:N'.") from error
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise DepthError(
            f"Device {device!r} was asked for, but torch sees {torch.cuda.device_count()} CUDA devices. Use device 'cpu', or "
            "install a CUDA build of torch and check the driver with `nvidia-smi`."
        )
    if found.type not in ("cpu", "cuda"):
        raise DepthError(f"Device {device!r} is not supported; expected 'cpu', 'cuda' or 'cuda:N'.")
    return found
