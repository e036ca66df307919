"""A flow field with its validity: the result of functions that make or read flow."""

from typing import Any, NamedTuple


class FlowField(NamedTuple):
    """A flow field and its validity; tensors from functions on tensors, arrays from functions on arrays.

    Attributes:
        flow: (...,h,w,2) float32, px: [..., 0] = u to the right, [..., 1] = v down; the pixel at p goes to p + flow.
            0 where not valid.
        valid: (...,h,w) bool: False where the flow is unknown or the point comes to lie behind the camera.
    """

    flow: Any
    valid: Any
