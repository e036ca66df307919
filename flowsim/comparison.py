"""Flow fields of any size at one scale, so that their statistics can be compared."""

import numpy as np
from jaxtyping import Bool, Float32

from flowsim.errors import FlowsimError
from flowsim.statistics import FlowStatistics, measure_flow

# Statistics are given in px of a picture with this longer side, that of DAVIS at 480p.
REFERENCE_SIDE_PX = 854


def at_scale(
    flow: Float32[np.ndarray, "h w 2"], mask: Bool[np.ndarray, "h w"], side_px: int | float, grid: int
) -> tuple[Float32[np.ndarray, "y x 2"], Bool[np.ndarray, "y x"]]:
    """Average a flow field over the cells of a grid, and scale it to a picture with a longer side of 854 px.

    Args:
        flow: in px of a picture whose longer side is `side_px`; the field itself may be smaller than that picture.
        mask: the object.
        side_px: the longer side of the picture that the flow's pixels belong to.
        grid: longer side of the grid; a field that is no larger keeps its size.

    Returns:
        Flow and mask; a cell is object if at least half of it is.
    """
    import cv2

    height, width = mask.shape
    shrink = max(1.0, max(height, width) / grid)
    size = max(1, round(width / shrink)), max(1, round(height / shrink))
    scaled = np.asarray(flow, np.float32) * np.float32(REFERENCE_SIDE_PX / side_px)
    if size == (width, height):
        return scaled, mask
    cells = cv2.resize(scaled, size, interpolation=cv2.INTER_AREA)
    share = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.asarray(cells, np.float32), np.asarray(share) >= 0.5


def statistics_at_scale(flow: np.ndarray, mask: np.ndarray, side_px: int | float, grid: int) -> FlowStatistics:
    """Measure a flow field at the common scale of a picture with a longer side of 854 px.

    Args:
        flow: (h,w,2) float, in px of a picture whose longer side is `side_px`; NaN = unknown and left out.
        mask: (h,w) bool, the object.
        side_px: the longer side of that picture.
        grid: longer side of the grid over whose cells the field is averaged.

    Raises:
        FlowsimError: shapes that do not belong together, or flow that is nowhere finite.
    """
    if flow.ndim != 3 or mask.dtype != np.bool_ or mask.shape != flow.shape[:2]:
        raise FlowsimError(f"mask is {mask.dtype} {mask.shape}, expected bool of the flow's size {flow.shape[:2]}")
    cells, cell_mask = at_scale(flow, mask, side_px, grid)
    return measure_flow(cells, cell_mask, np.isfinite(cells).all(-1))
