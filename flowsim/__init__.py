"""Simulated optical flow from inverse depth and motion of camera and object.

CONVENTIONS (tests/flowsim/test_flowsim_conventions.py has one test for each)

- image: rows down, columns right, RGB, uint8; channels last at every border.
- flow: px, [..., 0] = u to the right, [..., 1] = v down; the pixel at p moves to p + flow(p) in the next frame.
- camera: pinhole, integer pixel centres, principal point ((w-1)/2, (h-1)/2), square pixels,
  focal length f = (w/2) / tan(fov/2) from the horizontal field of view; x right, y down, z forward.
- motion: a point X of the scene is at R X + t in the next camera's frame; R = exp of the rotation vector in rad,
  t in units of the nearest scene depth. An object's own motion comes first, the camera's after it.
- inverse depth: d = 1/Z in [0, 1]; the nearest point has Z = 1, and d = 0 is infinitely far. A network's relative
  inverse depth is normalised to n in [0, 1] per photo and mapped to d = 1/far + (1 - 1/far) n in [1/far, 1].
  `depth_range_terms` in `flowsim.camera` states this map; the simulation folds it into the kernel's matrix, and
  `inverse_depth_in_range` applies it to arrays. Nothing is ever divided by depth.
- frames: the stated flow is the map that renders the next frame. Layers are warped grids of triangles: an object is in
  front of the background, the nearer of two objects in front of the other, and in a layer the nearest part wins.
- behind: a point that comes to lie behind the next camera is invalid and its flow is 0; flow is never infinite.
- random: a motion depends on prior, seed, sample id and index, and on nothing else.
"""

import importlib
from typing import TYPE_CHECKING, Any

from flowsim.errors import FlowsimError

if TYPE_CHECKING:
    from flowsim.camera import inverse_depth_in_range
    from flowsim.clips import Clip, make_clip
    from flowsim.color import flow_to_rgb, rgb_to_flow
    from flowsim.fields import FlowField
    from flowsim.files import read_flo, read_kitti_flow, write_flo, write_kitti_flow
    from flowsim.layers import LayeredPhoto, separate_layers
    from flowsim.objects import sample_motions
    from flowsim.prior import MotionPrior, Shot
    from flowsim.sampling import MotionSample, sample_motion
    from flowsim.simulation import SimulatedFlow, simulate_flow
    from flowsim.statistics import FlowStatistics, distance, measure_flow

    __version__: str

__all__ = [
    "Clip",
    "FlowField",
    "FlowStatistics",
    "FlowsimError",
    "LayeredPhoto",
    "MotionPrior",
    "MotionSample",
    "Shot",
    "SimulatedFlow",
    "__version__",
    "distance",
    "flow_to_rgb",
    "inverse_depth_in_range",
    "make_clip",
    "measure_flow",
    "read_flo",
    "read_kitti_flow",
    "rgb_to_flow",
    "sample_motion",
    "sample_motions",
    "separate_layers",
    "simulate_flow",
    "write_flo",
    "write_kitti_flow",
]

_MODULES = {
    "Clip": "clips",
    "FlowField": "fields",
    "FlowStatistics": "statistics",
    "LayeredPhoto": "layers",
    "MotionPrior": "prior",
    "MotionSample": "sampling",
    "Shot": "prior",
    "SimulatedFlow": "simulation",
    "distance": "statistics",
    "flow_to_rgb": "color",
    "inverse_depth_in_range": "camera",
    "make_clip": "clips",
    "measure_flow": "statistics",
    "read_flo": "files",
    "read_kitti_flow": "files",
    "rgb_to_flow": "color",
    "sample_motion": "sampling",
    "sample_motions": "objects",
    "separate_layers": "layers",
    "simulate_flow": "simulation",
    "write_flo": "files",
    "write_kitti_flow": "files",
}


def __getattr__(name: str) -> Any:
    """Import the module of a name at its first use (PEP 562), so that importing this package is cheap."""
    if name == "__version__":
        from importlib.metadata import version

        return version("fakeflow")
    if name not in _MODULES:
        raise AttributeError(f"module 'flowsim' has no attribute {name!r}")
    return getattr(importlib.import_module(f"flowsim.{_MODULES[name]}"), name)
