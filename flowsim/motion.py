"""Rigid motions of a batch: the camera's, and of objects on their own."""

from dataclasses import dataclass

import torch
from torch import Tensor

from flowsim.errors import FlowsimError


@dataclass(frozen=True, eq=False)
class Motion:
    """Rigid motions: a point X of the scene is at R X + t in the next camera's frame.

    A point of object i goes to R (R_i X + t_i) + t: first the object's own motion in the first camera's frame, then the camera's.
    Several motions of the same image (k) share one pass over its depth.

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
