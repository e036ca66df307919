"""Magnitude control: the factor that gives the flow of a photo the magnitude that was drawn for its motion."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from flowsim.camera import depth_range_terms, focal_length_px, pixel_axes, principal_point
from flowsim.deformation import add_deformation
from flowsim.sampling import MotionSample, Triple

# Number of pixels, roughly, of the regular grid on which the size of a motion is measured.
_GRID_PX = 2048
# A photo may be unable to show a motion of the wanted size, for example if everything is infinitely far. Even then
# camera and object turn and move by no more than this.
_LARGEST_TURN_RAD = 0.7
_SEARCH_STEPS = 12
_SIZE_TOLERANCE = 1e-3


def resolve(motions: Sequence[MotionSample], depth: np.ndarray, labels: np.ndarray | None) -> tuple[MotionSample, ...]:
    """Scale unresolved motions by one factor, for camera and objects, that gives |flow| the wanted magnitude.

    The percentile of |flow| is taken over all pixels of a regular grid of about 2,000 pixels (nearest rank). The factor
    is reduced if a pixel of the grid would otherwise move further than `largest` or fall behind the camera.
    `percentile`, `magnitude` and `largest` are taken from the first motion.

    Args:
        motions: unresolved motions of the objects 1, 2, ..., all with the same camera.
        depth: (h,w) float32 normalised inverse depth in [0,1].
        labels: (h,w) uint8, 0 = background, i = object i; None if no object moves on its own.

    Returns:
        The resolved motions.
    """
    from flowsim.kernels.flow import fill_flow

    first = motions[0]
    height, width = depth.shape
    side = max(height, width)
    pivots = [
        (0.0, 0.0, 0.0) if labels is None else _object_centre(motion, depth, labels == number)
        for number, motion in enumerate(motions, start=1)
    ]
    grid = _grid(height, width)
    grid_depth = np.ascontiguousarray(depth[grid])
    grid_labels = None if labels is None else np.ascontiguousarray(labels[grid])
    xs, ys = pixel_axes(height, width)
    axes = xs[grid[1]].copy(), ys[grid[0]].copy()
    flow = np.empty((*grid_depth.shape, 2), np.float32)
    valid = np.empty(grid_depth.shape, np.bool_)
    bent = np.zeros_like(flow)
    add_deformation(bent, grid_labels, motions, axes, side)
    rank = min(max(math.ceil(first.percentile / 100 * valid.size), 1), valid.size) - 1

    def size(factor: float) -> float:
        """Return the flow's size relative to the wanted one; infinite if points fall behind the camera."""
        scaled = [motion.scaled(factor, pivot) for motion, pivot in zip(motions, pivots, strict=True)]
        matrices = np.array([motion.matrices(height, width)[row] for row, motion in _rows(scaled, labels is not None)])
        fill_flow(
            grid_depth,
            np.empty((0, 0), np.uint8) if grid_labels is None else grid_labels,
            matrices.astype(np.float32),
            *axes,
            flow.reshape(len(flow), -1),
            valid,
        )
        if not valid.all():
            return math.inf
        total = flow + np.float32(factor) * bent
        ordered = np.partition(np.hypot(total[..., 0], total[..., 1]).ravel(), (rank, valid.size - 1))
        at_rank, furthest = float(ordered[rank]), float(ordered[-1])
        relative: float = max(at_rank / (first.magnitude * side), furthest / (first.largest * side))
        return relative

    factor = 0.0
    if first.magnitude > 0:
        factor = _factor_of_size_one(size, min(map(_largest_factor, motions)))
    return tuple(motion.scaled(factor, pivot) for motion, pivot in zip(motions, pivots, strict=True))


def _grid(height: int, width: int) -> tuple[slice, slice]:
    """Return the rows and columns of a regular grid of about `_GRID_PX` pixels."""
    step = max(1, math.isqrt(height * width // _GRID_PX))
    start_y, start_x = (min(step // 2, (size - 1) // 2) for size in (height, width))
    return slice(start_y, None, step), slice(start_x, None, step)


def _rows(motions: Sequence[MotionSample], has_objects: bool) -> list[tuple[int, MotionSample]]:
    """Return the row of its matrix, and the motion that the matrix belongs to, for the background and each object."""
    objects = [(1, motion) for motion in motions] if has_objects else []
    return [(0, motions[0]), *objects]


def _factor_of_size_one(size: Callable[[float], float], largest: float) -> float:
    """Solve size(factor) = 1 by proportion, as small motions are nearly linear, with bisection where that fails."""
    low, high = 0.0, largest
    factor = min(1e-3, largest)
    for _ in range(_SEARCH_STEPS):
        measured = size(factor)
        if abs(measured - 1) < _SIZE_TOLERANCE:
            return factor
        if measured > 1:
            high = factor
        else:
            low = factor
        guess = factor / measured if 0 < measured < math.inf else largest if measured == 0 else 0.0
        factor = guess if low < guess < high else 0.5 * (low + high)
        if high - low < _SIZE_TOLERANCE * high:
            break
    return low


def _largest_factor(motion: MotionSample) -> float:
    """Return the largest factor that the motion may be multiplied by."""
    if motion.model == "parallax":
        # |flow| = |n - zero plane| factor <= largest for every n in [0, 1]
        return motion.largest / max(abs(motion.zero_plane), abs(1 - motion.zero_plane))
    turns = math.hypot(*motion.rotation) + math.hypot(*motion.object_rotation)
    moves = math.hypot(*motion.translation) / motion.far + math.hypot(*motion.object_translation)
    bends = max(motion.object_deformation, motion.background_deformation)
    return _LARGEST_TURN_RAD / max(turns, moves, bends, 1e-9)


def _object_centre(motion: MotionSample, depth: np.ndarray, mask: np.ndarray) -> Triple:
    """Return the mask's centre at its mean inverse depth, in the camera's frame; unit: the nearest depth."""
    from flowsim.kernels.flow import mask_moments

    if motion.model == "parallax":
        return 0.0, 0.0, 0.0
    count, columns, rows, depths = mask_moments(mask, depth)
    if count == 0:
        return 0.0, 0.0, 0.0
    height, width = depth.shape
    offset, slope = depth_range_terms(motion.far)
    distance = 1 / (offset + slope * depths / count)
    focal_px = focal_length_px(width, motion.fov_deg)
    middle_x, middle_y = principal_point(height, width)
    x, y = columns / count - middle_x, rows / count - middle_y
    return distance * x / focal_px, distance * y / focal_px, distance
