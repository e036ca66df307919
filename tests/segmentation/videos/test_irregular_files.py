"""Pipes and devices where frames, masks, networks and settings of videos are expected: named, never waited for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from segmentation.errors import FlowError, MaskError, SegmentationError
from segmentation.flow.raft_weights import open_raft
from segmentation.network.checkpoint import load_network
from segmentation.network.encoders import make_encoder
from segmentation.training.motion_fit import fields_of_folder
from segmentation.videos.footage import open_footage
from segmentation.videos.mask_files import read_levels
from tests.conftest import draw_scene, write_png
from tests.segmentation.drawn_videos import draw_davis

pytestmark = pytest.mark.usefixtures("in_time")


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def test_a_frame_that_is_a_pipe_or_a_device_is_named(tmp_path: Path, pipe: Path) -> None:
    for number in range(3):
        write_png(tmp_path / f"clip/{number:05d}.png", draw_scene(number)[0])
    for target, kind in ((pipe, "a named pipe"), (Path("/dev/zero"), "a device")):
        (tmp_path / "clip/00001.png").unlink()
        (tmp_path / "clip/00001.png").symlink_to(target)
        footage = open_footage(tmp_path / "clip")
        with pytest.raises(FlowError, match=rf"frame .*00001.png cannot be read: this is {kind}"):
            list(footage.read(range(3)))


def test_a_video_that_is_a_pipe_or_a_device_is_refused(pipe: Path) -> None:
    for path, kind in ((pipe, "a named pipe"), (Path("/dev/zero"), "a device")):
        with pytest.raises(FlowError, match=f"{path} cannot be read as a video: this is {kind}"):
            open_footage(path)


def test_masks_that_are_pipes_are_named(tmp_path: Path, pipe: Path) -> None:
    with pytest.raises(MaskError, match="pipe cannot be read: this is a named pipe"):
        read_levels(pipe)
    root = draw_davis(tmp_path / "DAVIS", bear=3)
    mask = root / "Annotations/480p/bear/00001.png"
    mask.unlink()
    mask.symlink_to("/dev/zero")
    from segmentation.videos.datasets import open_dataset

    opened = open_dataset("davis16", root)
    with pytest.raises(MaskError, match="this is a device"):
        opened.read_mask(opened.videos[0].annotated[1])


def test_networks_and_weights_in_pipes_are_refused(tmp_path: Path, pipe: Path) -> None:
    with pytest.raises(SegmentationError, match="pipe cannot be read as a checkpoint"):
        load_network(pipe)
    with pytest.raises(FlowError, match="there is no file"):
        open_raft(str(pipe))
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder/config.json").symlink_to(pipe)
    with pytest.raises(SegmentationError, match="this is a named pipe"):
        make_encoder("mit-b0", str(tmp_path / "encoder"), 64)
    (tmp_path / "fields").mkdir()
    (tmp_path / "fields/bear.npz").symlink_to(pipe)
    with pytest.raises(FlowError, match="this is a named pipe"):
        fields_of_folder(tmp_path / "fields")
