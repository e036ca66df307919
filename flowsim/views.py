"""A layered photo as one frame shows it: the picture, its layers there, and the way of its pixels to another frame."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

NO_LAYER = 255
"""Label of a pixel of a view that shows nothing of the photo."""


class Surface(NamedTuple):
    """A layer as one view shows it: arrays on the CPU, or tensors.

    Attributes:
        displacement: (h,w,2) float32 px: from each pixel of the photo to its place in the view.
        winner: (h,w) int32: the triangle of the warped pixel grid at each pixel of the view; -1 = none.
        next_depth: (h,w) float32: inverse depth of every pixel of the photo as the view's camera sees it.
    """

    displacement: Any
    winner: Any
    next_depth: Any


@dataclass(frozen=True, eq=False)
class View:
    """A frame: the picture that a layered photo gives after a motion.

    Attributes:
        image: (h,w,3) uint8.
        labels: (h,w) uint8: the layer in front; `NO_LAYER` where the photo shows nothing of what is seen here.
        source: (h,w,2) float32: column and row in the photo of what is in front; NaN where nothing is.
        surfaces: of the layers, in their order.
        device: where labels, source and surfaces are: arrays on `cpu`, else tensors.
    """

    image: UInt8[np.ndarray, "h w 3"]
    labels: Any
    source: Any
    surfaces: tuple[Surface, ...]
    device: str


class FlowBetween(NamedTuple):
    """Positions in another view of the pixels of one view: arrays; tensors while a device fills them in.

    Attributes:
        flow: (h,w,2) float32 px; 0 where not valid.
        valid: (h,w) bool: False where nothing of the photo is seen, or goes behind the camera.
        fate: (h,w) uint8: `VISIBLE`, `HIDDEN` behind something nearer, or `LEAVES` the picture.
    """

    flow: Any
    valid: Any
    fate: Any
