"""The pinhole camera, and the depth range that a network's answer is given."""

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowsim.errors import FlowsimError

Depth = TypeVar("Depth", Tensor, np.ndarray)


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera with square pixels and the principal point in the middle of the picture.

    Attributes:
        height: rows.
        width: columns.
        fov_deg: horizontal field of view in degrees, inside (0, 180): one number, or (b,) for a batch.
    """

    height: int
    width: int
    fov_deg: int | float | Tensor

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise FlowsimError(
                f"Camera(height={self.height}, width={self.width}): expected at least one pixel each way"
            )
        if isinstance(self.fov_deg, Tensor):
            if self.fov_deg.ndim != 1 or not self.fov_deg.is_floating_point():
                raise FlowsimError(
                    f"fov_deg is {self.fov_deg.dtype} of shape {tuple(self.fov_deg.shape)}, "
                    "expected a number or float (b,)"
                )
            if torch.compiler.is_compiling():
                return
            is_inside = bool(((self.fov_deg > 0) & (self.fov_deg < 180)).all())
        else:
            is_inside = 0 < self.fov_deg < 180
        if not is_inside:
            raise FlowsimError(f"fov_deg is {self.fov_deg}, expected degrees inside (0, 180)")

    @property
    def focal_px(self) -> float | Float[Tensor, " b"]:
        """f = (w/2) / tan(fov/2), px; (b,) float64 for a batch."""
        if isinstance(self.fov_deg, Tensor):
            return 0.5 * self.width / torch.tan(torch.deg2rad(0.5 * self.fov_deg.double()))
        return 0.5 * self.width / math.tan(math.radians(0.5 * self.fov_deg))

    @property
    def principal_point(self) -> tuple[float, float]:
        """Column and row of the optical axis: ((w-1)/2, (h-1)/2)."""
        return 0.5 * (self.width - 1), 0.5 * (self.height - 1)

    def intrinsics(self) -> Float[Tensor, "b 3 3"]:
        """Return K = [[f, 0, cx], [0, f, cy], [0, 0, 1]], float64; b = 1 for a single field of view."""
        focal = torch.as_tensor(self.focal_px, dtype=torch.float64).reshape(-1)
        cx, cy = self.principal_point
        K = torch.zeros(len(focal), 3, 3, dtype=torch.float64, device=focal.device)
        K[:, 0, 0] = K[:, 1, 1] = focal
        K[:, 0, 2], K[:, 1, 2], K[:, 2, 2] = cx, cy, 1
        return K

    def axes(self, device: torch.device) -> tuple[Float[Tensor, " w"], Float[Tensor, " h"]]:
        """Return columns and rows relative to the principal point, px, float32."""
        cx, cy = self.principal_point
        columns = torch.arange(self.width, device=device, dtype=torch.float32) - cx
        rows = torch.arange(self.height, device=device, dtype=torch.float32) - cy
        return columns, rows


def inverse_depth_in_range(normalized_inverse_depth: Depth, far: int | float | Depth) -> Depth:
    """Map a network's normalised inverse depth to d = 1/Z in [1/far, 1]: the one place where its unknown scale is
    chosen.

    d = 1/far + (1 - 1/far) n

    Args:
        normalized_inverse_depth: (h,w) or (b,h,w) in [0,1], 1 = nearest.
        far: depth of the farthest point in nearest depths, at least 1: one number, or (b,) for a batch.

    Returns:
        Inverse depth of the same shape and kind.

    Raises:
        FlowsimError: far is less than 1 or not finite, or has another batch size.
    """
    if isinstance(far, int | float):
        if not 1 <= far < math.inf:
            raise FlowsimError(f"far is {far}, expected a finite number of nearest depths, at least 1")
        return normalized_inverse_depth * (1 - 1 / far) + 1 / far
    if normalized_inverse_depth.ndim != 3 or far.shape != normalized_inverse_depth.shape[:1]:
        raise FlowsimError(
            f"far has shape {tuple(far.shape)} for inverse depth {tuple(normalized_inverse_depth.shape)}: "
            "expected a number, or (b,) for (b,h,w)"
        )
    if not bool(((far >= 1) & (far < math.inf)).all()):
        raise FlowsimError("far holds values below 1 or not finite, expected nearest depths, at least 1")
    nearest_part = (1 / far)[:, None, None]
    return normalized_inverse_depth * (1 - nearest_part) + nearest_part
