"""Smooth paths: the motions that lead from a photo to each later frame of a clip."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np

from flowsim.errors import FlowsimError
from flowsim.sampling import MotionSample, Triple

LONGEST_CLIP = 16


class _Steadiness(NamedTuple):
    """How far the velocity of a step is from that of the first, relative to it: a first-order autoregressive process.

    Attributes:
        persistence: r, the correlation of the deviations of neighbouring steps.
        spread: s, the standard deviation of one component of the velocity.
    """

    persistence: float
    spread: float


# Medians over videos of DAVIS train (python -m benchmarks.steadiness).
_CAMERA = _Steadiness(persistence=0.92, spread=0.74)
_OBJECT = _Steadiness(persistence=0.90, spread=0.47)


def motion_paths(motions: Sequence[MotionSample], frames: int) -> list[tuple[MotionSample, ...]]:
    """Return the motions from the photo to each later frame of a clip.

    The given motions are the first step. In later steps velocity v_t of the camera, and of each object, stays near that
    of the first step v_1:

        v_t = v_1 + |v_1| e_t,    e_1 = 0,    e_t = r e_{t-1} + s sqrt(1 - r^2) n_t

    with n_t standard normal, one for each component. Persistence r and spread s are fitted to real videos, separately
    for camera and objects. The noise depends on the motion's `wave_seed` alone. Deformation grows in proportion to
    time.

    Args:
        motions: resolved, for the objects 1, 2, ...; all with the same camera.
        frames: frames of the clip, the photo included; 2 .. 16.

    Returns:
        For each frame after the photo the motions of all objects, from the photo to that frame.

    Raises:
        FlowsimError: the number of frames is out of range, or a motion is unresolved.
    """
    if not 2 <= frames <= LONGEST_CLIP:
        raise FlowsimError(f"frames is {frames}, expected 2 to {LONGEST_CLIP}")
    if not all(motion.is_resolved for motion in motions):
        raise FlowsimError("a motion is unresolved (scale -1): use the motion that simulate_flow returns")
    steps = frames - 1
    first = motions[0]
    camera = _cumulated(first.rotation, first.translation, steps, [first.wave_seed, 1], _CAMERA)
    own = [
        _cumulated(motion.object_rotation, motion.object_translation, steps, [motion.wave_seed, 2], _OBJECT)
        for motion in motions
    ]
    return [
        tuple(
            replace(
                motion,
                rotation=camera[step][0],
                translation=camera[step][1],
                object_rotation=part[step][0],
                object_translation=part[step][1],
                object_deformation=motion.object_deformation * (step + 1),
                background_deformation=motion.background_deformation * (step + 1),
            )
            for motion, part in zip(motions, own, strict=True)
        )
        for step in range(steps)
    ]


def _cumulated(
    rotation: Triple, translation: Triple, steps: int, key: list[int], steadiness: _Steadiness
) -> list[tuple[Triple, Triple]]:
    """Return rotation and translation from the first frame to each later one: R = R_t ... R_1, t = R_t t + t_t."""
    turns, shifts = (
        _velocities(first, steps, [*key, place], steadiness) for place, first in enumerate((rotation, translation))
    )
    total_turn, total_shift = np.eye(3), np.zeros(3)
    path = [(rotation, translation)]
    for step in range(steps):
        turn = cv2.Rodrigues(turns[step])[0]
        total_turn, total_shift = turn @ total_turn, turn @ total_shift + shifts[step]
        if step > 0:
            path.append((_triple(cv2.Rodrigues(total_turn)[0].ravel()), _triple(total_shift)))
    return path


def _velocities(first: Triple, steps: int, key: list[int], steadiness: _Steadiness) -> np.ndarray:
    """Return (steps,3) float64, a velocity that starts from the first and changes smoothly."""
    random = np.random.Generator(np.random.Philox(key=np.array([key[0], 3 * key[1] + key[2]], np.uint64)))
    noise = random.standard_normal((steps, 3)) * (steadiness.spread * math.sqrt(1 - steadiness.persistence**2))
    error = np.zeros((steps, 3))
    for step in range(1, steps):
        error[step] = steadiness.persistence * error[step - 1] + noise[step]
    return np.array(first) + math.hypot(*first) * error


def _triple(vector: np.ndarray) -> Triple:
    """Return the three numbers of a vector as Python floats."""
    x, y, z = vector.tolist()
    return x, y, z
