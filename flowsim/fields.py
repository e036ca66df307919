"""What functions on flow return: a field with its validity, and what becomes of its pixels."""

from typing import Any, NamedTuple


class FlowField(NamedTuple):
    """Flow and where it means something: tensors from functions on tensors, arrays from functions on arrays.

    Attributes:
        flow: (...,h,w,2) float32, px: [..., 0] = u to the right, [..., 1] = v down; the pixel at p goes to p + flow.
            0 where not valid.
        valid: (...,h,w) bool: False where the flow is unknown or the point would come to lie behind the camera.
    """

    flow: Any
    valid: Any


class Visibility(NamedTuple):
    """What becomes of the pixels of a frame, (...,h,w) bool each, tensors or arrays like the flow.

    Attributes:
        leaves: in this frame: goes outside the picture, or is not valid.
        hidden: in this frame: stays inside, but a nearer pixel goes to the same place.
        uncovered: in the next frame: no pixel of this frame goes there.
    """

    leaves: Any
    hidden: Any
    uncovered: Any
