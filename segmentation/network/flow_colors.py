"""The colours in which networks see flow: the same in training, validation, evaluation and prediction."""

from __future__ import annotations

from flowsim import flow_to_rgb
from flowsim.color import Array

STILL_PX = 1.0
"""Flow whose longest vector is shorter is that of a scene that stands still.

Between two frames of one picture, estimators find vectors of 0.2 to 1 px, which are their own errors and the noise of
compression.
"""


def flow_colors(flow_px: Array) -> Array:
    """Colour the flow of a frame for a network: the longest vector has full saturation, as published.

    Where nothing moves by a pixel, one pixel has full saturation. So a scene that stands still looks nearly white
    instead of showing the errors of the estimate as motion.

    Args:
        flow_px: (...,h,w,2) float32 px, array or tensor on the CPU; NaN = unknown.

    Returns:
        (...,h,w,3) uint8 RGB; black where unknown.
    """
    return flow_to_rgb(flow_px, min_radius=STILL_PX)
