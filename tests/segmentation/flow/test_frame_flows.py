"""Flow of the frames of a dataset: which flows one training may learn from."""

from __future__ import annotations

import pytest

from segmentation.errors import DatasetError
from segmentation.flow.frame_flows import FlowOrigin, require_one_kind


def test_frames_of_very_different_sizes_are_a_mixture() -> None:
    def origins(store: str, *sides: int) -> list[FlowOrigin]:
        return [FlowOrigin(f"v{side}", store, "raft-large", "0" * 64, 1, side) for side in sides]

    require_one_kind([*origins("fbms.zarr", 288, 540), *origins("davis.zarr", 480, 480)])
    with pytest.raises(
        DatasetError,
        match=r"the videos in a.zarr was made from frames of 180 px on the shorter side, that of the videos in b.zarr "
        r"from frames of 480 to 720 px",
    ):
        require_one_kind([*origins("a.zarr", 180), *origins("b.zarr", 480, 720)])
    require_one_kind([])
