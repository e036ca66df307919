"""Flow of the frames of a dataset: its colours, and which flows one training may learn from."""

from __future__ import annotations

from pathlib import Path

import pytest

from segmentation.errors import DatasetError
from segmentation.flow.frame_flows import FlowOrigin, StoredFlows, require_one_kind
from segmentation.videos.datasets import Video
from segmentation.videos.trees import Frame
from tests.segmentation.video_flows import store_flow


def test_stored_flow_of_less_than_a_pixel_is_nearly_white(tmp_path: Path) -> None:
    # The longest vector of the first frame of this size has 0.28 px, that of the tenth 12 px.
    names = [f"{number:05d}" for number in range(10)]
    store_flow(tmp_path / "flows.zarr", "still", names, (3, 2))
    flows = StoredFlows(str(tmp_path / "flows.zarr"), "DAVIS-2016")
    flows.check(Video("still", None, tuple(Frame(name, None, (Path("mask.png"),)) for name in names)))
    assert flows.read_colors("still", "00000").min() >= 0.6 * 255
    assert flows.read_colors("still", "00009").min() < 10


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
