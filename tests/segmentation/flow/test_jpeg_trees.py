"""The tree of flow pictures that the published code reads."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from flowsim import flow_to_rgb
from tests.segmentation.commands import Command
from tests.segmentation.flow_videos import davis
from tests.segmentation.stand_in_raft import moving_texture
from tests.segmentation.video_flows import read_flow


def test_pictures_for_the_published_code(flows: Command, tmp_path: Path) -> None:
    root = davis(tmp_path / "DAVIS", libby=moving_texture(3))
    assert flows("--dataset", "davis16", "--root", root)[0] == 0
    assert flows("--dataset", "davis16", "--root", root, "--jpeg", tmp_path / "DAVIS")[0] == 0
    folder = tmp_path / "DAVIS/JPEGFlows/480p/libby"
    assert sorted(path.name for path in folder.iterdir()) == ["00000.jpg", "00001.jpg", "00002.jpg"]
    for name, flow in read_flow(str(tmp_path / "out.zarr"), "libby"):
        picture = cv2.imread(str(folder / f"{name}.jpg"))[..., ::-1].astype(int)
        assert np.abs(picture - flow_to_rgb(flow)).mean() < 4
    kept = (folder / "00001.jpg").stat().st_mtime_ns
    (folder / "00000.jpg").unlink()
    assert flows("--dataset", "davis16", "--root", root, "--jpeg", tmp_path / "DAVIS")[0] == 0
    assert (folder / "00000.jpg").exists()
    assert (folder / "00001.jpg").stat().st_mtime_ns == kept
