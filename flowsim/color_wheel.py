"""The colour wheel of Baker et al., A Database and Evaluation Methodology for Optical Flow (IJCV 2011)."""

import numpy as np
from jaxtyping import Float32

# A vector that is NaN or has a longer component is unknown (the limit of the .flo format).
UNKNOWN_FLOW_PX = 1e9

# Colours from one pure hue to the next: red-yellow-green-cyan-blue-magenta-red.
ARC_STEPS = (15, 6, 4, 11, 13, 6)


def color_wheel() -> Float32[np.ndarray, "55 3"]:
    """Return the 55 hues of the wheel, RGB in 0..255, from the direction `right` clockwise on the screen."""
    hues = []
    rising = (1, 0, 2, 1, 0, 2)  # channel that changes; in every second arc it falls instead
    held = (0, 1, 1, 2, 2, 0)
    for arc, steps in enumerate(ARC_STEPS):
        for step in range(steps):
            color = [0, 0, 0]
            color[held[arc]] = 255
            change = 255 * step // steps
            color[rising[arc]] = change if arc % 2 == 0 else 255 - change
            hues.append(color)
    return np.array(hues, np.float32)
