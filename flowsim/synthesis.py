"""Inverse depth and motions to flow, for batches on the CPU and on accelerators."""

import importlib.util
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from flowsim.camera import Camera
from flowsim.deformation_torch import deform
from flowsim.errors import FlowsimError
from flowsim.fields import FlowField
from flowsim.kernels.flow import SMALLEST_DEPTH_RATIO, flow_rows, plane_and_parallax
from flowsim.kernels.threads import share_rows
from flowsim.motion import Motion, motion_matrices
from flowsim.sampling import MotionSample


def synthesize_flow(
    inverse_depth: Tensor,
    camera: Camera,
    motion: Motion,
    masks: Tensor | None = None,
    *,
    validate: bool = True,
    out: FlowField | None = None,
) -> FlowField:
    """Compute where every pixel goes when camera and objects move (plane + parallax, see `flowsim.projection`).

    Args:
        inverse_depth: (b,h,w) float32 in [0,1]: d = 1/Z, 1 = nearest, 0 = infinitely far. On the CPU a compiled loop
            runs, elsewhere a fused tensor expression; where gradients are asked for, the expression in eager mode
            (gradients with regard to depth only).
        camera: of this height and width.
        motion: (b,3) or, for k motions of each image, (b,k,3); best left on the CPU where it was drawn.
        masks: (b,h,w) or (b,o,h,w) bool: the objects that move on their own; where they overlap the last one is in
            front. Given exactly if the motion has object parts.
        validate: whether to check that all depths are in [0,1]; on an accelerator that costs a read and a wait.
        out: flow and valid to write into, contiguous; saves their allocation, which costs more than the computation.

    Returns:
        Flow (b,h,w,2) float32 px and valid (b,h,w) bool; for k motions (b,k,h,w,2) and (b,k,h,w).

    Raises:
        FlowsimError: shapes that do not belong together, wrong types, or depths that are not finite or not in [0,1].
    """
    _check_depth("inverse_depth", inverse_depth)
    if tuple(inverse_depth.shape[1:]) != (camera.height, camera.width):
        raise FlowsimError(
            f"inverse_depth has shape {tuple(inverse_depth.shape)}, expected (b,{camera.height},{camera.width}): "
            "the camera's height and width"
        )
    batch = inverse_depth.shape[0]
    if motion.rotation.shape[0] != batch:
        raise FlowsimError(
            f"motion is for {motion.rotation.shape[0]} images, inverse_depth holds {batch}: give one each"
        )
    if isinstance(camera.fov_deg, Tensor) and camera.fov_deg.shape[0] != batch:
        raise FlowsimError(
            f"fov_deg is for {camera.fov_deg.shape[0]} images, inverse_depth holds {batch}: give one each"
        )
    if motion.objects and masks is None:
        raise FlowsimError("motion has object parts: give masks (b,h,w) or (b,o,h,w) bool, or leave the parts out")
    labels = None if masks is None else _labels(masks, inverse_depth, motion.objects)
    matrices = motion_matrices(camera, motion)
    field = _flow_of_matrices(inverse_depth, matrices, labels, validate, out)
    if motion.rotation.ndim == 2 and out is None:
        return FlowField(field.flow[:, 0], field.valid[:, 0])
    return field if out is None else out


def resynthesize_flow(
    normalized_inverse_depth: Tensor, motions: Sequence[MotionSample], masks: Tensor | None = None
) -> FlowField:
    """Make the flow of a batch of photos of one size from motions that `simulate_flow` has given their size.

    Args:
        normalized_inverse_depth: (b,h,w) float32 in [0,1], as stored.
        motions: one for each photo.
        masks: (b,h,w) bool, the objects; may be None where no motion moves one.

    Returns:
        Flow (b,h,w,2) float32 px and valid (b,h,w) bool.

    Raises:
        FlowsimError: wrong shapes or types, depths not in [0,1], a motion without size, or a mask that is missing.
    """
    _check_depth("normalized_inverse_depth", normalized_inverse_depth)
    batch, height, width = normalized_inverse_depth.shape
    if len(motions) != batch:
        raise FlowsimError(f"{len(motions)} motions for {batch} photos: give one each")
    if not all(motion.is_resolved for motion in motions):
        raise FlowsimError("a motion has no size yet (scale -1): use the one that simulate_flow returns")
    needs_masks = any(motion.moves_object for motion in motions)
    if needs_masks and masks is None:
        raise FlowsimError("a motion moves the object by itself: give masks (b,h,w) bool")
    labels = _labels(masks, normalized_inverse_depth, 1) if masks is not None and needs_masks else None
    rows = slice(None) if needs_masks else slice(1)
    matrices = np.stack([motion.matrices(height, width)[None, rows] for motion in motions]).astype(np.float32)
    field = _flow_of_matrices(normalized_inverse_depth, torch.from_numpy(matrices), labels, True, None)
    flow, valid = field.flow[:, 0], field.valid[:, 0]
    for image, motion in enumerate(motions):
        if motion.is_deformed or motion.blur > 0:
            mask = masks[image] if masks is not None and motion.moves_object else None
            flow[image] = torch.where(valid[image][..., None], deform(flow[image], mask, motion), 0)
    return FlowField(flow, valid)


def flow_expression(
    inverse_depth: Float32[Tensor, "b h w"],
    matrices: Float32[Tensor, "b k o 12"],
    labels: UInt8[Tensor, "b h w"] | None,
) -> FlowField:
    """Flow as a plain tensor expression: any device, differentiable, made to be fused by `torch.compile`.

    Args:
        inverse_depth: in [0,1].
        matrices: [B | k] of background and objects.
        labels: 0 = background, i = object i; None = background everywhere.

    Returns:
        Flow (b,k,h,w,2) and valid (b,k,h,w).
    """
    height, width = inverse_depth.shape[1:]
    xs = torch.arange(width, device=inverse_depth.device, dtype=torch.float32) - 0.5 * (width - 1)
    ys = torch.arange(height, device=inverse_depth.device, dtype=torch.float32)[:, None] - 0.5 * (height - 1)
    depth = inverse_depth[:, None]
    parts = matrices[..., None, None].unbind(2)
    u, v, change = plane_and_parallax(parts[0].unbind(2), xs, ys, depth)
    if labels is not None:
        for number, part in enumerate(parts[1:], start=1):
            is_here = labels[:, None] == number
            moved = plane_and_parallax(part.unbind(2), xs, ys, depth)
            u, v, change = (torch.where(is_here, new, old) for new, old in zip(moved, (u, v, change), strict=True))
    ratio = 1 + change
    valid = ratio > SMALLEST_DEPTH_RATIO
    scale = torch.where(valid, 1 / torch.where(valid, ratio, 1.0), 0.0)
    return FlowField(torch.stack([u * scale, v * scale], -1), valid)


@cache
def _fused_expression() -> Callable[..., FlowField]:
    """The expression in one kernel where Triton is installed; without it the same expression step by step."""
    if importlib.util.find_spec("triton") is None:
        return flow_expression
    fused: Callable[..., FlowField] = torch.compile(flow_expression)
    return fused


def _flow_of_matrices(
    inverse_depth: Tensor, matrices: Tensor, labels: Tensor | None, validate: bool, out: FlowField | None
) -> FlowField:
    """Choose how to compute: (b,h,w), (b,k,1+o,12) -> (b,k,h,w,2), (b,k,h,w)."""
    is_traced = torch.compiler.is_compiling()
    needs_gradient = torch.is_grad_enabled() and inverse_depth.requires_grad
    if inverse_depth.device.type == "cpu" and not is_traced and not needs_gradient:
        return _flow_on_cpu(inverse_depth, matrices, labels, validate, out)
    if validate and not is_traced and not bool(((inverse_depth >= 0) & (inverse_depth <= 1)).all()):
        raise _depth_error(inverse_depth)
    expression = flow_expression if is_traced or needs_gradient else _fused_expression()
    field = expression(inverse_depth, matrices.to(inverse_depth.device, torch.float32, non_blocking=True), labels)
    if out is None:
        return field
    out.flow.view_as(field.flow).copy_(field.flow)
    out.valid.view_as(field.valid).copy_(field.valid)
    return out


def _flow_on_cpu(
    inverse_depth: Tensor, matrices: Tensor, labels: Tensor | None, validate: bool, out: FlowField | None
) -> FlowField:
    """The compiled loop, rows shared among torch's number of threads."""
    depth = np.ascontiguousarray(inverse_depth.detach().numpy())
    _, height, width = depth.shape
    shape = (*matrices.shape[:2], height, width)
    if out is None:
        out = FlowField(torch.empty(*shape, 2), torch.empty(shape, dtype=torch.bool))
    elif (
        (out.flow.numel(), out.valid.numel()) != (2 * np.prod(shape), np.prod(shape))
        or (out.flow.dtype, out.valid.dtype) != (torch.float32, torch.bool)
        or not (out.flow.is_contiguous() and out.valid.is_contiguous())
    ):
        raise FlowsimError(f"out does not fit: expected contiguous float32 flow {(*shape, 2)} and bool valid {shape}")
    flow, valid = out.flow.numpy().reshape(-1, 2 * width), out.valid.numpy().reshape(-1, width)
    xs = np.arange(width, dtype=np.float32) - np.float32(0.5 * (width - 1))
    ys = np.arange(height, dtype=np.float32) - np.float32(0.5 * (height - 1))
    label_rows = np.empty((0, 0, 0), np.uint8) if labels is None else np.ascontiguousarray(labels.numpy())
    kernel_matrices = matrices.float().numpy()

    def work(first: int, last: int) -> int:
        outside: int = flow_rows(depth, label_rows, kernel_matrices, xs, ys, first, last, flow, valid)
        return outside

    if sum(share_rows(work, len(flow), width, torch.get_num_threads())) and validate:
        raise _depth_error(inverse_depth)
    return out


def _labels(masks: Tensor, inverse_depth: Tensor, objects: int) -> UInt8[Tensor, "b h w"]:
    """Which object each pixel belongs to: 0 none, i object i."""
    batch, height, width = inverse_depth.shape
    if not objects:
        raise FlowsimError(
            "masks given, but the motion has no object parts: give object_rotation and object_translation"
        )
    separate = masks[:, None] if masks.ndim == 3 else masks
    if masks.dtype != torch.bool or tuple(separate.shape) != (batch, objects, height, width):
        raise FlowsimError(
            f"masks are {masks.dtype} of shape {tuple(masks.shape)}, expected bool ({batch},{objects},{height},{width})"
            + (f" or ({batch},{height},{width})" if objects == 1 else "")
        )
    if masks.device != inverse_depth.device:
        raise FlowsimError(f"masks are on {masks.device}, inverse_depth on {inverse_depth.device}: move them together")
    labels = separate[:, 0].view(torch.uint8)
    for number in range(1, objects):
        labels = torch.where(separate[:, number], number + 1, labels).to(torch.uint8)
    return labels


def _check_depth(name: str, depth: Tensor) -> None:
    """Raise unless (b,h,w) float32 with at least one pixel."""
    if depth.ndim != 3 or 0 in depth.shape or depth.dtype != torch.float32:
        raise FlowsimError(
            f"{name} is {depth.dtype} of shape {tuple(depth.shape)}, expected float32 (b,h,w), not empty"
        )


def _depth_error(depth: Tensor) -> FlowsimError:
    """What is wrong with depths that are not all in [0, 1]."""
    outside = ~((depth >= 0) & (depth <= 1))
    image = int(outside.flatten(1).any(1).nonzero()[0, 0])
    return FlowsimError(
        f"inverse_depth of shape {tuple(depth.shape)} has {int(outside.sum())} values that are NaN or not in [0, 1], "
        f"the first in image {image}; normalise each photo, and map depth by 1 / Z"
    )
