"""Rigid motions of a batch: the camera's, and of objects on their own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from flowsim import projection
from flowsim.camera import Camera
from flowsim.errors import FlowsimError


@dataclass(frozen=True, eq=False)
class Motion:
    """Rigid motions: a point X of the scene is at R X + t in the next camera's frame.

    A point of object i goes to R (R_i X + t_i) + t: first the object's own motion in the first camera's frame, then
    the camera's. Several motions of the same image (k) share one pass over its depth.

    Attributes:
        rotation: (b,3) or (b,k,3) rotation vectors, rad.
        translation: same shape, in nearest depths.
        object_rotation: (b,o,3) or (b,k,o,3) for o objects, rad; None = objects keep still.
        object_translation: same shape, in nearest depths; both or neither.
    """

    rotation: Tensor
    translation: Tensor
    object_rotation: Tensor | None = None
    object_translation: Tensor | None = None

    def __post_init__(self) -> None:
        shape = tuple(self.rotation.shape)
        if len(shape) not in (2, 3) or shape[-1] != 3 or 0 in shape:
            raise FlowsimError(f"rotation has shape {shape}, expected (b,3), or (b,k,3) for k motions of each image")
        if (self.object_rotation is None) != (self.object_translation is None):
            raise FlowsimError("object_rotation and object_translation belong together: give both or neither")
        expected = {"rotation": (*shape[:-1], "3"), "translation": (*shape[:-1], "3")}
        parts = {"rotation": self.rotation, "translation": self.translation}
        if self.object_rotation is not None and self.object_translation is not None:
            parts |= {"object_rotation": self.object_rotation, "object_translation": self.object_translation}
            objects = self.object_rotation.shape[-2] if self.object_rotation.ndim == len(shape) + 1 else 0
            if not 1 <= objects <= 255:
                raise FlowsimError(
                    f"object_rotation has shape {tuple(self.object_rotation.shape)}, expected {(*shape[:-1], 'o', 3)} "
                    "with 1 to 255 objects"
                )
            expected |= {name: (*shape[:-1], objects, "3") for name in ("object_rotation", "object_translation")}
        for name, part in parts.items():
            if tuple(map(str, part.shape)) != tuple(map(str, expected[name])) or not part.is_floating_point():
                wanted = ",".join(map(str, expected[name]))
                raise FlowsimError(f"{name} is {part.dtype} of shape {tuple(part.shape)}, expected float ({wanted})")
            if not torch.compiler.is_compiling() and not bool(torch.isfinite(part).all()):
                raise FlowsimError(f"{name} of shape {tuple(part.shape)} holds NaN or infinite values")

    @property
    def objects(self) -> int:
        """How many objects move on their own."""
        return 0 if self.object_rotation is None else self.object_rotation.shape[-2]


def motion_matrices(camera: Camera, motion: Motion) -> Float64[Tensor, "b k o 12"]:
    """Turn motions into the kernel's matrices [B | k] (see `flowsim.projection`).

    Args:
        camera: with one field of view, or one for each image.
        motion: (b,3) or (b,k,3), with or without objects.

    Returns:
        (b,k,1+objects,12) float64, the background first, on the motion's device; k = 1 for (b,3).
    """
    parts = [motion.rotation, motion.translation]
    if motion.object_rotation is not None and motion.object_translation is not None:
        parts += [motion.object_rotation, motion.object_translation]
    if motion.rotation.ndim == 2:
        parts = [part[:, None] for part in parts]
    focal: Any = camera.focal_px
    if isinstance(focal, Tensor):
        focal = focal.to(motion.rotation.device)[:, None]
    # NumPy's small-array arithmetic is several times quicker than torch's; a graph, or another device, needs torch's.
    if torch.compiler.is_compiling() or any(part.device.type != "cpu" for part in parts):
        matrices: Tensor = _matrices_of([part.double() for part in parts], focal, torch.sinc, torch.stack, torch.cat)
        return matrices
    arrays = [part.detach().numpy().astype(np.float64) for part in parts]
    focal = focal.numpy() if isinstance(focal, Tensor) else focal
    return torch.from_numpy(_matrices_of(arrays, focal, np.sinc, np.stack, np.concatenate))


def _matrices_of(
    parts: list[Any], focal: Any, sinc: Callable[[Any], Any], stack: Callable[..., Any], join: Callable[..., Any]
) -> Any:
    """(b,k,3), (b,k,3) and, with objects, (b,k,o,3), (b,k,o,3) -> (b,k,1+o,12), for arrays and tensors."""
    background = stack(projection.pinhole_matrix(*_rigid(parts[0], parts[1], sinc), focal), -1)[..., None, :]
    if len(parts) == 2:
        return background
    camera_motion = _rigid(parts[0][:, :, None], parts[1][:, :, None], sinc)
    focal_of_objects = focal if isinstance(focal, float) else focal[..., None]
    moved = projection.composed(_rigid(parts[2], parts[3], sinc), camera_motion)
    return join([background, stack(projection.pinhole_matrix(*moved, focal_of_objects), -1)], 2)


def _rigid(rotation: Any, translation: Any, sinc: Callable[[Any], Any]) -> tuple[projection.Matrix, projection.Vector]:
    """(...,3) rotation vectors and translations as (R - I, t) with entries (...)."""
    change = projection.rotation_change((rotation[..., 0], rotation[..., 1], rotation[..., 2]), sinc)
    return change, (translation[..., 0], translation[..., 1], translation[..., 2])
