"""Estimators of optical flow by name: `raft`, OpenCV's `dis`, and the networks of ptlflow."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, UInt8

from segmentation.flow.ptlflow_names import PTLFLOW
from segmentation.flow.settings import EstimatorSettings


@runtime_checkable
class Estimator(Protocol):
    """Estimates flow between the frames of a video."""

    @property
    def name(self) -> str:
        """Name of the estimator, with that of its weights."""

    @property
    def precision(self) -> str:
        """Arithmetic that it computes in."""

    def stream(
        self, frames: Iterable[UInt8[np.ndarray, "h w 3"]], pairs: Sequence[tuple[int, int]]
    ) -> Iterator[Float32[np.ndarray, "h w 2"]]:
        """Yield the flow in px from the first to the second frame of each pair of positions, in the order of time.

        Raises:
            FlowError: the frames are too few, too small or of several sizes.
        """

    def pair(
        self, first: UInt8[np.ndarray, "h w 3"], second: UInt8[np.ndarray, "h w 3"]
    ) -> Float32[np.ndarray, "h w 2"]:
        """Return the flow in px from one frame to another, computed in the calling thread.

        Raises:
            FlowError: the frames are too small or of two sizes.
        """


@dataclass(frozen=True)
class Identity:
    """Identity of an estimator, for the attributes of a store.

    Attributes:
        network: `raft-large`, `raft-small`, `dis` or `ptlflow:NAME`.
        name: name of the weights, or of the program and its version.
        sha256: sha256 of the weights, or of that name.
        iterations: number of updates of RAFT; 0 for others.
    """

    network: str
    name: str
    sha256: str
    iterations: int = 0


def identify(settings: EstimatorSettings) -> Identity:
    """Find out what an estimator is; weights are read, and downloaded if need be.

    Raises:
        FlowError: there are no such weights, they belong to another network, or the estimator's package is missing.
    """
    if settings.flow == "dis":
        import cv2

        name = f"dis of OpenCV {cv2.__version__}"
        return Identity("dis", name, hashlib.sha256(name.encode()).hexdigest())
    if settings.flow.startswith(PTLFLOW):
        from segmentation.flow.ptlflow_networks import open_network

        network = open_network(settings.flow)
        return Identity(network.named.estimator, network.named.name, network.sha256)
    from segmentation.flow.raft_weights import open_raft

    loaded = open_raft(settings.raft, settings.model)
    return Identity(loaded.size, loaded.name, loaded.sha256, settings.raft_iterations)


def load_estimator(settings: EstimatorSettings, device: str) -> Estimator:
    """Load an estimator on a device of torch; DIS always runs on the CPU.

    Raises:
        FlowError: there are no such weights, or they belong to another network.
    """
    if settings.flow == "dis":
        from segmentation.flow.dis import load_dis

        return load_dis(settings.upscale)
    if settings.flow.startswith(PTLFLOW):
        from segmentation.flow.ptlflow_networks import load_network

        return load_network(settings.flow, device, settings.upscale)
    from segmentation.flow.raft import load_raft

    return load_raft(
        settings.raft, device, size=settings.model, iterations=settings.raft_iterations, upscale=settings.upscale
    )
