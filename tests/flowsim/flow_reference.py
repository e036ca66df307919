"""Slow, obvious answers in float64 that the kernels are held against, and motions to ask them for."""

import math
from typing import Any

import numpy as np

from flowsim import MotionSample

STILL = (0.0, 0.0, 0.0)


def resolved_motion(**changes: Any) -> MotionSample:
    """Return a resolved rigid motion in which nothing moves, with these changes."""
    motion = {
        "model": "rigid",
        "shot": 0,
        "magnitude": 0.05,
        "percentile": 90.0,
        "largest": 0.5,
        "fov_deg": 60.0,
        "far": 100.0,
        "zero_plane": 0.0,
        "scale": 1.0,
        "rotation": STILL,
        "translation": STILL,
        "object_rotation": STILL,
        "object_translation": STILL,
        "pivot": STILL,
    }
    return MotionSample(**(motion | changes))


def camera_matrix(height, width, fov_deg):
    """Return the 3x3 matrix K of a pinhole camera with the principal point in the middle."""
    focal = width / 2 / math.tan(math.radians(fov_deg) / 2)
    return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])


def rotation_matrix(rotation: np.ndarray) -> np.ndarray:
    """Return the exponential of the cross-product matrix, summed as its power series."""
    x, y, z = rotation
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]], np.float64)
    total, term = np.eye(3), np.eye(3)
    for n in range(1, 60):
        term = term @ cross / n
        total = total + term
    return total


def flow_of_photo(inverse_depth, fov_deg, rotation, translation, mask=None, own_rotation=None, own_translation=None):
    """Unproject every pixel, move it (object first, then camera) and project it; return flow in px and new depth."""
    height, width = inverse_depth.shape
    K = camera_matrix(height, width, fov_deg)
    inverse_K, R = np.linalg.inv(K), rotation_matrix(rotation)
    own_R = None if mask is None else rotation_matrix(own_rotation)
    flow, depth = np.zeros((height, width, 2)), np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            point = inverse_K @ [column, row, 1.0] / float(inverse_depth[row, column])
            if mask is not None and mask[row, column]:
                point = own_R @ point + own_translation
            point = R @ point + translation
            depth[row, column] = point[2]
            if point[2] > 0:
                projected = K @ point
                flow[row, column] = projected[:2] / projected[2] - (column, row)
    return flow, depth


def published_colors(flow, max_radius=None):
    """Colour one field as Baker et al.'s published program does, in float64, pixel by pixel."""
    wheel = []
    for steps, first, second in (
        (15, (255, 0, 0), (255, 255, 0)),
        (6, (255, 255, 0), (0, 255, 0)),
        (4, (0, 255, 0), (0, 255, 255)),
        (11, (0, 255, 255), (0, 0, 255)),
        (13, (0, 0, 255), (255, 0, 255)),
        (6, (255, 0, 255), (255, 0, 0)),
    ):
        for i in range(steps):
            step = 255 * i // steps
            wheel.append([a if a == b else (step if b else 255 - step) for a, b in zip(first, second, strict=True)])
    known = [tuple(map(float, f)) for f in flow.reshape(-1, 2) if all(abs(float(c)) <= 1e9 for c in f)]
    radius_px = max_radius or max((math.sqrt(u * u + v * v) for u, v in known), default=0) or 1
    rgb = np.zeros((*flow.shape[:-1], 3))
    for index in np.ndindex(flow.shape[:-1]):
        u, v = (float(c) for c in flow[index])
        if not (abs(u) <= 1e9 and abs(v) <= 1e9):
            continue
        radius = math.sqrt(u * u + v * v) / radius_px
        place = (math.atan2(-v, -u) / math.pi + 1) / 2 * (len(wheel) - 1)
        low = int(place)
        part = place - low
        for channel in range(3):
            color = (1 - part) * wheel[low][channel] / 255 + part * wheel[(low + 1) % len(wheel)][channel] / 255
            color = 1 - radius * (1 - color) if radius <= 1 else color * 0.75
            rgb[(*index, channel)] = 255 * color
    return rgb
