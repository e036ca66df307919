"""The smallest frames that estimators of flow take."""

from __future__ import annotations

from collections.abc import Mapping

from segmentation.errors import FlowError

RAFT_SIDE_PX = 128
"""Smallest side for RAFT: below, the coarsest level of the correlation pyramid has less than two positions."""
NEEDED: Mapping[str, tuple[str, int]] = {
    "raft": ("RAFT", RAFT_SIDE_PX),
    "dis": ("DIS", 32),  # the patches of its coarsest scale have 8 px
}
"""Title and smallest side in px by the name of the estimator; networks of ptlflow need what RAFT needs."""


def smallest_side(estimator: str) -> int:
    """Return the smallest side of a frame in px that an estimator takes."""
    return NEEDED.get(estimator, (estimator, RAFT_SIDE_PX))[1]


def check_size(estimator: str, height: int, width: int, upscale: bool) -> None:
    """Raise if frames are too small for an estimator.

    Raises:
        FlowError: a side is too small, and `upscale` is not asked for.
    """
    title, side = NEEDED.get(estimator, (estimator, RAFT_SIDE_PX))
    if min(height, width) < side and not upscale:
        raise FlowError(
            f"frames are {width}x{height}; {title} needs {side} px on both sides. "
            "Enlarge them for the estimate with --upscale."
        )
