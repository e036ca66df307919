"""The results of functions on flow: a field with its validity, and the visibility of its pixels."""

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


class Visibility(NamedTuple):
    """The visibility of pixels under a flow, (...,h,w) bool each, tensors or arrays like the flow.

    Attributes:
        leaves: pixels of this frame that leave the picture or are not valid.
        hidden: pixels of this frame that stay inside the picture, but are covered by a nearer pixel in the next frame.
        uncovered: pixels of the next frame to which no pixel of this frame moves.
    """

    leaves: Any
    hidden: Any
    uncovered: Any
