"""Visibility of pixels in the next frame by a forward z-buffer."""

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from flowsim.errors import FlowsimError
from flowsim.fields import Visibility

if TYPE_CHECKING:
    from torch import Tensor

    Array = TypeVar("Array", np.ndarray, Tensor)
else:  # torch takes a second to import, and arrays do not need it
    Array = TypeVar("Array")


def find_visibility(flow: Array, inverse_depth: Array, valid: Array | None = None) -> Visibility:
    """Move every pixel by its flow to the nearest pixel of the next frame, and find which pixels are in front there.

    A pixel in column x moves to column floor(x + u + 0.5), and likewise for rows. Where several pixels meet, those of
    the greatest inverse depth stay visible; several may be equally near. The result does not depend on any order. A
    camera that moves forward opens gaps of single pixels, which count as uncovered.

    Args:
        flow: (...,h,w,2) float32, px.
        inverse_depth: (...,h,w) float32, at least 0, of the same pixels. For exact occlusions under large motion along
            the optical axis, give the inverse depth as seen by the next camera.
        valid: (...,h,w) bool; None = all.

    Returns:
        `leaves`, `hidden` and `uncovered`, (...,h,w) bool, of the same kind and on the same device.

    Raises:
        FlowsimError: shapes or types that do not belong together.
    """
    fits = flow.ndim >= 3 and flow.shape[-1] == 2 and flow.shape[:-1] == inverse_depth.shape and 0 not in flow.shape
    if not fits or (valid is not None and valid.shape != inverse_depth.shape):
        raise FlowsimError(
            f"flow has shape {tuple(flow.shape)}, inverse_depth {tuple(inverse_depth.shape)}"
            + ("" if valid is None else f", valid {tuple(valid.shape)}")
            + ", expected (...,h,w,2), (...,h,w), (...,h,w), not empty"
        )
    for name, array in (("flow", flow), ("inverse_depth", inverse_depth)):
        if str(array.dtype).removeprefix("torch.") != "float32":
            raise FlowsimError(f"{name} is {array.dtype}, expected float32")
    if isinstance(flow, np.ndarray) and isinstance(inverse_depth, np.ndarray):
        return _visibility_of_arrays(flow, inverse_depth, valid, threads=1)
    import torch

    from flowsim.visibility_torch import visibility_of_tensors

    if flow.device.type == "cpu":
        arrays = (flow.detach().numpy(), inverse_depth.detach().numpy(), None if valid is None else valid.numpy())
        found = _visibility_of_arrays(*arrays, threads=torch.get_num_threads())
        return Visibility(*(torch.from_numpy(array) for array in found))
    return visibility_of_tensors(flow, inverse_depth, valid)


def _visibility_of_arrays(
    flow: np.ndarray, inverse_depth: np.ndarray, valid: np.ndarray | None, threads: int
) -> Visibility:
    """Find the visibility by the compiled loop; fields are shared among threads."""
    from flowsim.kernels.threads import share_rows
    from flowsim.kernels.visibility import visibility_of_fields

    height, width = inverse_depth.shape[-2:]
    fields = (-1, height, width)
    leaves, hidden, uncovered = (np.empty(inverse_depth.shape, np.bool_) for _ in range(3))
    arrays = (
        np.ascontiguousarray(flow).reshape(-1, height, 2 * width),
        np.ascontiguousarray(inverse_depth).reshape(fields),
        np.empty((0, height, width), np.bool_) if valid is None else np.ascontiguousarray(valid).reshape(fields),
        leaves.reshape(fields),
        hidden.reshape(fields),
        uncovered.reshape(fields),
    )
    share_rows(lambda first, last: visibility_of_fields(*arrays, first, last), len(arrays[1]), height * width, threads)
    return Visibility(leaves, hidden, uncovered)
