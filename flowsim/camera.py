"""The pinhole camera and the depth range of a scene: the one place for each of their formulas."""

import math
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float32

from flowsim.errors import FlowsimError

Depth = TypeVar("Depth")


def focal_length_px(width: int, fov_deg: float) -> float:
    """Return the focal length f = (w/2) / tan(fov/2).

    Args:
        width: columns of the picture.
        fov_deg: horizontal field of view in degrees, inside (0, 180).

    Returns:
        The focal length, px.
    """
    return 0.5 * width / math.tan(math.radians(0.5 * fov_deg))


def principal_point(height: int, width: int) -> tuple[float, float]:
    """Return the column (w-1)/2 and the row (h-1)/2 of the principal point, px."""
    return 0.5 * (width - 1), 0.5 * (height - 1)


def pixel_axes(height: int, width: int) -> tuple[Float32[np.ndarray, " w"], Float32[np.ndarray, " h"]]:
    """Return the columns and rows of all pixels relative to the principal point, px."""
    middle_x, middle_y = principal_point(height, width)
    columns = np.arange(width, dtype=np.float32) - np.float32(middle_x)
    rows = np.arange(height, dtype=np.float32) - np.float32(middle_y)
    return columns, rows


def depth_range_terms(far: float, factor: Any = 1.0) -> tuple[Any, Any]:
    """Return the terms a and b of factor * d = a + b n, where n is normalised inverse depth.

    d = 1/far + (1 - 1/far) n maps n in [0, 1] to inverse depth in [1/far, 1]. The scale and shift of a network's
    inverse depth are unknown; they are chosen here and nowhere else.

    Args:
        far: depth of the farthest point in nearest depths, at least 1.
        factor: number that the inverse depth is multiplied by.

    Returns:
        a = factor / far and b = factor - factor / far.
    """
    return factor / far, factor - factor / far


def inverse_depth_in_range(normalized_inverse_depth: Depth, far: float) -> Depth:
    """Map normalised inverse depth n to inverse depth d = 1/far + (1 - 1/far) n = 1/Z.

    Args:
        normalized_inverse_depth: number, array or tensor with values in [0, 1], 1 = nearest.
        far: depth of the farthest point in nearest depths, at least 1.

    Returns:
        Inverse depth in [1/far, 1], of the same shape and kind.

    Raises:
        FlowsimError: far is less than 1 or not finite.
    """
    if not 1 <= far < math.inf:
        raise FlowsimError(f"far is {far}, expected a finite number of nearest depths, at least 1")
    offset, slope = depth_range_terms(far)
    values: Any = normalized_inverse_depth
    in_range: Depth = values * slope + offset
    return in_range
