"""The steps of rendering on the CPU: they allocate the results that the compiled loops of `flowsim.kernels` fill in."""

import numpy as np
from jaxtyping import Bool, Float32, Int32

from flowsim.kernels import rasterization
from flowsim.kernels.composition import compose
from flowsim.kernels.tracking import find_covered, follow

__all__ = ["compose", "fetch", "find_covered", "follow", "place", "project", "rasterize", "sources"]


def project(
    matrix: Float32[np.ndarray, "12"],
    depth: Float32[np.ndarray, "h w"],
    nearness: tuple[float, float],
    xs: Float32[np.ndarray, " w"],
    ys: Float32[np.ndarray, " h"],
) -> tuple[Float32[np.ndarray, "h w 2"], Float32[np.ndarray, "h w"]]:
    """Return the displacement of every pixel, px, and its inverse depth in the next frame."""
    displacement, next_depth = np.empty((*depth.shape, 2), np.float32), np.empty(depth.shape, np.float32)
    rasterization.project(matrix, depth, np.array(nearness, np.float32), xs, ys, displacement, next_depth)
    return displacement, next_depth


def rasterize(
    displacement: Float32[np.ndarray, "h w 2"], next_depth: Float32[np.ndarray, "h w"], used: Bool[np.ndarray, "h w"]
) -> Int32[np.ndarray, "h w"]:
    """Return the nearest triangle at each pixel of the next frame."""
    nearest = np.full(used.shape, -1, np.float32)
    winner = np.full(used.shape, rasterization.NOTHING, np.int32)
    rasterization.rasterize(displacement, next_depth, used, nearest, winner)
    return winner


def sources(
    displacement: Float32[np.ndarray, "h w 2"], winner: Int32[np.ndarray, "h w"]
) -> Float32[np.ndarray, "h w 2"]:
    """Return the column and row on the surface that each pixel shows; NaN where it shows none of it."""
    source = np.empty((*winner.shape, 2), np.float32)
    rasterization.sources(displacement, winner, source)
    return source


def place(array: np.ndarray, device: str) -> np.ndarray:
    """Return the array as it is: the CPU is the only device here."""
    del device
    return array


def fetch(array: np.ndarray) -> np.ndarray:
    """Return the array as it is: it is on the CPU already."""
    return array
