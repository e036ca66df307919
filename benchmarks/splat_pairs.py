"""Image pairs as depthstillation makes them (Aleotti et al., CVPR 2021), written from its equations.

The camera has the focal lengths 0.58 w and 0.58 h. A pixel with inverse depth d lies at Z = min(1 / (d + 0.005), 100).
The camera moves by U(0.1, 0.2) and turns by U(5, 10) degrees along each axis, with random signs; the one object has
U(0.05, 0.1) and U(2.5, 5) degrees in addition. Every pixel goes to the pixel that is nearest to its target, the nearest
point wins, and `cv2.inpaint` closes the holes.

Three faults of the published program are left out, in favour of the rival: targets are rounded, not cut off; targets
outside the picture are dropped, not collected at its border; points behind the camera are not valid.
"""

from typing import NamedTuple

import cv2
import numpy as np

INPAINT_RADIUS_PX = 3
_FOCAL_LENGTH = 0.58
# A pixel is hidden if the point that won its target is nearer by more than this share.
_DEPTH_TOLERANCE = 0.05


class Pair(NamedTuple):
    """Two frames and the flow from the first to the second.

    Attributes:
        first, second: (h,w,3) uint8.
        flow: (h,w,2) float32 px.
        valid: (h,w) bool: where the flow is known.
        visible: (h,w) bool: what can be seen in the second frame as well.
        window: rows and columns to crop from.
    """

    first: np.ndarray
    second: np.ndarray
    flow: np.ndarray
    valid: np.ndarray
    visible: np.ndarray
    window: tuple[slice, slice]


def splat_pair(image: np.ndarray, depth: np.ndarray, mask: np.ndarray, random: np.random.Generator) -> Pair:
    """Draw a motion and render the pair.

    Args:
        image: (h,w,3) uint8.
        depth: (h,w) float32, normalised inverse depth in [0, 1].
        mask: (h,w) bool, the object.
        random: source of the motion.
    """
    camera = draw_motion(random, 0.1, 5.0)
    own = draw_motion(random, 0.05, 2.5)
    flow, distance = rigid_flow(depth, *camera)
    flow_of_object, distance_of_object = rigid_flow(depth, camera[0] + own[0], camera[1] + own[1])
    flow[mask], distance[mask] = flow_of_object[mask], distance_of_object[mask]
    valid = (distance > 0) & np.isfinite(flow).all(-1)
    flow[~valid] = 0
    height, width = depth.shape
    rows, columns = np.mgrid[:height, :width]
    x, y = np.rint(columns + flow[..., 0]).astype(int), np.rint(rows + flow[..., 1]).astype(int)
    inside = valid & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    order = np.argsort(-distance[inside], kind="stable")  # the nearest is written last
    target = y[inside][order], x[inside][order]
    second, nearest = np.zeros_like(image), np.full(depth.shape, np.inf)
    second[target], nearest[target] = image[inside][order], distance[inside][order]
    second = cv2.inpaint(second, np.isinf(nearest).astype(np.uint8), INPAINT_RADIUS_PX, cv2.INPAINT_TELEA)
    visible = inside.copy()
    visible[inside] = distance[inside] <= nearest[y[inside], x[inside]] * (1 + _DEPTH_TOLERANCE)
    return Pair(image, second, flow.astype(np.float32), valid, visible, (slice(0, height), slice(0, width)))


def draw_motion(random: np.random.Generator, shift: float, turn_deg: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a rotation vector (rad) and a translation whose entries are one to two times the given sizes."""
    signs, sizes = random.choice((-1.0, 1.0), (2, 3)), random.uniform(1, 2, (2, 3))
    rotation, translation = signs * sizes * [[np.deg2rad(turn_deg)], [shift]]
    return rotation, translation


def rigid_flow(depth: np.ndarray, rotation: np.ndarray, translation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return flow (h,w,2) in px and the distance (h,w) from the second camera, both float64."""
    height, width = depth.shape
    distance = np.minimum(1 / (depth.astype(np.float64) + 0.005), 100)
    focal = np.array([_FOCAL_LENGTH * width, _FOCAL_LENGTH * height])
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    pixels = np.stack([columns, rows], -1)
    centre = np.array([0.5 * width, 0.5 * height])
    points = np.concatenate([(pixels - centre) / focal, np.ones((height, width, 1))], -1) * distance[..., None]
    moved = points @ cv2.Rodrigues(rotation)[0].T + translation
    with np.errstate(divide="ignore", invalid="ignore"):
        targets = moved[..., :2] / moved[..., 2:] * focal + centre
    return targets - pixels, moved[..., 2]
