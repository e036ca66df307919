"""Deformation and blur of flow: in estimated flow of real scenes, things bend and borders are soft.

A deformation is a smooth random displacement field, a sum of plane waves that a seed fixes. The blur is Gaussian. Both
are measured in the picture's longer side, so that they are the same at any resolution.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from flowsim.sampling import MotionSample

_WAVES = 8
# Wavelengths relative to the longer side. Longer waves have larger amplitudes, as in the motion of water, cloth and
# bodies.
_SHORTEST, _LONGEST = 0.2, 1.0


class Waves(NamedTuple):
    """Factors of a displacement field of root mean square 1.

    The displacement at row y and column x is sum_j rows[., y, j] columns[j, x].

    Attributes:
        columns: (j,w) float32.
        rows: (2,h,j) float32, for u and v.
    """

    columns: Float32[np.ndarray, "j w"]
    rows: Float32[np.ndarray, "2 h j"]


def waves(seed: int, xs: np.ndarray, ys: np.ndarray, side: int) -> Waves:
    """Draw a displacement field and sample it: f(p) = sum_i a_i cos(2 pi k_i p + phase_i), sum_i |a_i|^2 = 2.

    Args:
        seed: seed of the field, 0 .. 2**64 - 1.
        xs: (w,) columns relative to the principal point, px.
        ys: (h,) rows relative to the principal point, px.
        side: the picture's longer side, px.

    Returns:
        The field's factors.
    """
    stream = np.random.Philox(key=np.array([seed, 0], np.uint64))
    uniform = ((stream.random_raw(4 * _WAVES) >> np.uint64(11)) * 2.0**-53).reshape(4, _WAVES)
    heading, phase, amplitude_heading = 2 * math.pi * uniform[:3]
    wavelength = _SHORTEST * (_LONGEST / _SHORTEST) ** uniform[3]
    amplitude = wavelength * math.sqrt(2 / (wavelength**2).sum())
    turns = 2 * math.pi / (wavelength * side)
    # cos(a + b) = cos a cos b - sin a sin b separates columns from rows.
    across = np.multiply.outer(turns * np.cos(heading), xs.astype(np.float64)) + phase[:, None]
    down = np.multiply.outer(ys.astype(np.float64), turns * np.sin(heading))
    columns = np.concatenate([np.cos(across), np.sin(across)])
    factors = np.concatenate([np.cos(down), -np.sin(down)], 1)
    components = np.stack([amplitude * np.cos(amplitude_heading), amplitude * np.sin(amplitude_heading)])
    rows = factors * np.tile(components, 2)[:, None]
    return Waves(columns.astype(np.float32), rows.astype(np.float32))


def gaussian_weights(sigma_px: float) -> Float32[np.ndarray, " taps"]:
    """Return the weights of a sampled Gaussian at the distances 0, 1, ... up to three sigma; the kernel sums to 1."""
    distance = np.arange(math.ceil(3 * sigma_px) + 1)
    weights = np.exp(-0.5 * (distance / sigma_px) ** 2) if sigma_px > 0 else np.ones(1)
    normalised: np.ndarray = (weights / (weights[0] + 2 * weights[1:].sum())).astype(np.float32)
    return normalised


def add_deformation(
    flow: np.ndarray,
    labels: np.ndarray | None,
    motions: Sequence[MotionSample],
    axes: tuple[np.ndarray, np.ndarray],
    side: int,
) -> None:
    """Add the displacement fields of background and objects to a flow field.

    Args:
        flow: (h,w,2) float32 px, changed in place.
        labels: (h,w) uint8, 0 = background, i = object i; None = background everywhere.
        motions: for the objects 1, 2, ...; the background has that of the first.
        axes: the columns (w,) and the rows (h,) relative to the principal point, px.
        side: the picture's longer side, px.
    """
    from flowsim.kernels.deformation import add_waves

    for number, motion in enumerate(motions, start=1):
        gains = np.zeros(max(len(motions), 1) + 1, np.float32)
        gains[0] = motion.background_deformation * side if number == 1 else 0
        gains[number] = motion.object_deformation * side
        if gains.any():
            columns, rows = waves(motion.wave_seed, *axes, side)
            here = np.empty((0, 0), np.uint8) if labels is None else labels
            add_waves(columns, rows, here, gains, flow.reshape(len(flow), -1))
