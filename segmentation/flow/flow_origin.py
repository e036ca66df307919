"""Where the flow of videos comes from, and whether one training may learn from all of it."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from segmentation.errors import DatasetError


@dataclass(frozen=True)
class FlowOrigin:
    """How the flow of one video was estimated.

    Attributes:
        video: its name.
        store: that holds it.
        weights: name of RAFT's weights.
        weights_sha256: of their file.
        stride: frames from the first of a pair to the second.
        short_side_px: shorter side of the frames.
    """

    video: str
    store: str
    weights: str
    weights_sha256: str
    stride: int
    short_side_px: int

    @property
    def where(self) -> str:
        """The video and its store, for messages."""
        return f"{self.video} in {self.store}"


def require_one_kind(origins: Sequence[FlowOrigin]) -> None:
    """Make sure that all flow was made by the same weights, with one stride, from frames of about the same size.

    Videos of one store may differ in size; the sizes of two stores must overlap.

    Raises:
        DatasetError: it was not; which two differ, and in what.
    """
    for one, other in itertools.pairwise(origins):
        if one.weights_sha256 != other.weights_sha256:
            raise _mixture(
                f"{one.where} was made by {one.weights} ({one.weights_sha256[:8]})",
                f"{other.where} by {other.weights} ({other.weights_sha256[:8]})",
            )
        if one.stride != other.stride:
            raise _mixture(f"{one.where} has stride {one.stride}", f"{other.where} stride {other.stride}")
    sides: dict[str, list[int]] = defaultdict(list)
    for origin in origins:
        sides[origin.store].append(origin.short_side_px)
    for (one_store, some), (other_store, others) in itertools.combinations(sides.items(), 2):
        if max(some) < min(others) or max(others) < min(some):
            raise _mixture(
                f"the videos in {one_store} was made from frames of {_range(some)} px on the shorter side",
                f"the videos in {other_store} from frames of {_range(others)} px",
            )


def _mixture(one: str, other: str) -> DatasetError:
    return DatasetError(
        f"the flow of {one}, that of {other}; a network that learns from both sees two kinds of flow. Make them alike "
        "with `segmentation flows`, or ask for the mixture with --mixed-flow"
    )


def _range(sides: Sequence[int]) -> str:
    low, high = min(sides), max(sides)
    return str(low) if low == high else f"{low} to {high}"
