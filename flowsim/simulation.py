"""The flow of one photo under one motion, on the CPU."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32

from flowsim.camera import depth_range_terms, focal_length_px, pixel_axes
from flowsim.deformation import gaussian_weights, waves
from flowsim.errors import FlowsimError
from flowsim.sampling import MotionSample, Triple

# Number of pixels, roughly, of the regular grid on which the size of a motion is measured.
_GRID_PX = 2048
# A photo may be unable to show a motion of the wanted size, for example if everything is infinitely far. Even then
# camera and object turn and move by no more than this.
_LARGEST_TURN_RAD = 0.7
_SEARCH_STEPS = 12
_SIZE_TOLERANCE = 1e-3


class SimulatedFlow(NamedTuple):
    """Flow of one photo under one motion.

    Attributes:
        flow: (h,w,2) float32, px; u to the right, v down; 0 where not valid.
        valid: (h,w) bool; False where the point comes to lie behind the camera.
        motion: resolved motion, which gives the same flow again from the same depth and mask.
    """

    flow: Float32[np.ndarray, "h w 2"]
    valid: Bool[np.ndarray, "h w"]
    motion: MotionSample


def simulate_flow(normalized_inverse_depth: np.ndarray, mask: np.ndarray | None, motion: MotionSample) -> SimulatedFlow:
    """Make the flow of a photo under a motion; the size of an unresolved motion is found first (`resolve`).

    The computation runs in the calling thread and releases the GIL. The same arguments give the same bits in any
    thread.

    Args:
        normalized_inverse_depth: (h,w) float32 in [0,1], 1 = nearest: output of a depth network, normalised per photo.
        mask: (h,w) bool, the object; may be None if the motion does not move the object on its own.
        motion: a motion from `sample_motion`, or a resolved motion to make the same flow again.

    Returns:
        Flow, validity and the resolved motion.

    Raises:
        FlowsimError: wrong shape or type, depth that is not finite or not in [0,1], or a missing mask.
    """
    depth = normalized_inverse_depth
    if depth.ndim != 2 or depth.dtype != np.float32 or depth.size == 0:
        raise FlowsimError(
            f"normalized_inverse_depth is {depth.dtype} of shape {depth.shape}, expected float32 (h,w), not empty"
        )
    if mask is None and motion.moves_object:
        raise FlowsimError("this motion moves the object on its own: give its mask, or draw from a prior that does not")
    if mask is not None and (mask.shape != depth.shape or mask.dtype != np.bool_):
        raise FlowsimError(
            f"mask is {mask.dtype} of shape {mask.shape}, expected bool of the depth's shape {depth.shape}; "
            "threshold grey masks first"
        )
    depth = np.ascontiguousarray(depth)
    object_mask = np.ascontiguousarray(mask) if mask is not None and motion.moves_object else None
    height, width = depth.shape
    if not motion.is_resolved:
        motion = resolve(motion, depth, object_mask)
    flow = np.empty((height, width, 2), np.float32)
    valid = np.empty((height, width), np.bool_)
    outside = _fill(depth, object_mask, motion.matrices(height, width), pixel_axes(height, width), flow, valid)
    if outside:
        raise FlowsimError(
            f"normalized_inverse_depth of shape {depth.shape} has {outside} values that are not in [0, 1]; "
            "normalise it per photo, and replace NaN"
        )
    return SimulatedFlow(_deformed(flow, valid, object_mask, motion), valid, motion)


def resolve(motion: MotionSample, depth: np.ndarray, mask: np.ndarray | None) -> MotionSample:
    """Find the size of an unresolved motion: the factor that gives its flow the wanted magnitude.

    The percentile of |flow| is taken over all pixels of a regular grid of about 2,000 pixels (nearest rank). The factor
    is smaller if otherwise a pixel of the grid would move further than `motion.largest` or fall behind the camera.

    Args:
        motion: unresolved motion.
        depth: (h,w) float32 normalised inverse depth in [0,1].
        mask: (h,w) bool or None, the object that moves on its own.

    Returns:
        The resolved motion.
    """
    height, width = depth.shape
    side = max(height, width)
    pivot = _object_centre(motion, depth, mask)
    step = max(1, math.isqrt(height * width // _GRID_PX))
    start_y, start_x = (min(step // 2, (size - 1) // 2) for size in (height, width))
    grid = (slice(start_y, None, step), slice(start_x, None, step))
    grid_depth = np.ascontiguousarray(depth[grid])
    grid_mask = None if mask is None else np.ascontiguousarray(mask[grid])
    xs, ys = pixel_axes(height, width)
    axes = xs[grid[1]].copy(), ys[grid[0]].copy()
    flow = np.empty((*grid_depth.shape, 2), np.float32)
    valid = np.empty(grid_depth.shape, np.bool_)
    bent = np.zeros_like(flow)
    if motion.is_deformed:
        _bend(bent, grid_mask, motion, axes, side)
    rank = min(max(math.ceil(motion.percentile / 100 * valid.size), 1), valid.size) - 1

    def size(factor: float) -> float:
        """Return the flow's size relative to the wanted one; infinite if points fall behind the camera."""
        _fill(grid_depth, grid_mask, motion.scaled(factor, pivot).matrices(height, width), axes, flow, valid)
        if not valid.all():
            return math.inf
        total = flow + np.float32(factor) * bent
        ordered = np.partition(np.hypot(total[..., 0], total[..., 1]).ravel(), (rank, valid.size - 1))
        at_rank, furthest = float(ordered[rank]), float(ordered[-1])
        relative: float = max(at_rank / (motion.magnitude * side), furthest / (motion.largest * side))
        return relative

    if motion.magnitude == 0:
        return motion.scaled(0.0, pivot)
    return motion.scaled(_factor_of_size_one(size, _largest_factor(motion)), pivot)


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


def _object_centre(motion: MotionSample, depth: np.ndarray, mask: np.ndarray | None) -> Triple:
    """Return the mask's centre at its mean inverse depth, in the camera's frame and nearest depths; 0 without mask."""
    from flowsim.kernels.flow import mask_moments

    if mask is None or motion.model == "parallax":
        return 0.0, 0.0, 0.0
    count, columns, rows, depths = mask_moments(mask, depth)
    if count == 0:
        return 0.0, 0.0, 0.0
    height, width = depth.shape
    offset, slope = depth_range_terms(motion.far)
    distance = 1 / (offset + slope * depths / count)
    focal_px = focal_length_px(width, motion.fov_deg)
    x = columns / count - 0.5 * (width - 1)
    y = rows / count - 0.5 * (height - 1)
    return distance * x / focal_px, distance * y / focal_px, distance


def _deformed(flow: np.ndarray, valid: np.ndarray, mask: np.ndarray | None, motion: MotionSample) -> np.ndarray:
    """Return rigid flow with the motion's deformation and blur, 0 where not valid; may write into `flow`."""
    from flowsim.kernels.deformation import blurred

    height, width = valid.shape
    side = max(height, width)
    if motion.is_deformed:
        _bend(flow, mask, motion, pixel_axes(height, width), side)
    if motion.blur > 0:
        flow = blurred(flow.reshape(height, -1), gaussian_weights(motion.blur * side)).reshape(flow.shape)
    if (motion.is_deformed or motion.blur > 0) and not valid.all():
        flow[~valid] = 0
    return flow


def _bend(
    flow: np.ndarray, mask: np.ndarray | None, motion: MotionSample, axes: tuple[np.ndarray, np.ndarray], side: int
) -> None:
    """Add a motion's deformation at the columns and rows of `axes` to the flow there."""
    from flowsim.kernels.deformation import add_waves

    columns, rows = waves(motion.wave_seed, *axes, side)
    gains = np.array([motion.background_deformation, motion.object_deformation]) * side
    labels = np.empty((0, 0), np.uint8) if mask is None else mask.view(np.uint8)
    add_waves(columns, rows, labels, gains.astype(np.float32), flow.reshape(len(flow), -1))


def _fill(
    depth: np.ndarray,
    mask: np.ndarray | None,
    matrices: np.ndarray,
    axes: tuple[np.ndarray, np.ndarray],
    flow: np.ndarray,
    valid: np.ndarray,
) -> int:
    """Write the rigid flow at the columns and rows of `axes`; return how many depths are not in [0, 1]."""
    from flowsim.kernels.flow import fill_flow

    labels = np.empty((0, 0), np.uint8) if mask is None else mask.view(np.uint8)
    used = (matrices[:1] if mask is None else matrices).astype(np.float32)
    outside: int = fill_flow(depth, labels, used, *axes, flow.reshape(len(flow), -1), valid)
    return outside
