"""The videos that flow is estimated for: files, folders of frames, classes, splits and chosen sequences."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import zarr

from segmentation.flow.raft import load_raft
from tests.segmentation.commands import Command
from tests.segmentation.flow_videos import davis, write_clip, write_frames
from tests.segmentation.stand_in_raft import moving_texture
from tests.segmentation.video_flows import read_flow


def test_a_video_file_and_a_folder_of_frames(flows: Command, weights: Path, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", moving_texture(18))
    capture = cv2.VideoCapture(str(clip))
    decoded = np.stack([capture.read()[1][..., ::-1] for _ in range(18)])
    write_frames(tmp_path / "frames", decoded)
    assert flows("--video", clip)[0] == 0
    assert flows("--video", tmp_path / "frames")[0] == 0
    output = str(tmp_path / "out.zarr")
    of_clip, of_folder = (list(read_flow(output, name)) for name in ("clip", "frames"))
    assert [name for name, _ in of_clip] == [f"{k:05d}" for k in range(18)]
    for (_, first), (_, second) in zip(of_clip, of_folder, strict=True):
        assert (first == second).all()
    np.testing.assert_allclose(of_clip[16][1], load_raft(str(weights), iterations=1)(decoded[16:])[0], atol=1 / 128)


def test_videos_that_cannot_be_opened(flows: Command, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", moving_texture(12))
    content = clip.read_bytes()
    clip.write_bytes(content[: len(content) // 2])
    assert "clip.mp4 is no video that can be decoded: the container is damaged" in str(flows("--video", clip)[0])
    assert "does not exist; expected a video file, a folder" in str(flows("--video", tmp_path / "absent.mp4")[0])
    (tmp_path / "empty").mkdir()
    assert "holds no images" in str(flows("--video", tmp_path / "empty")[0])
    write_frames(tmp_path / "frames", moving_texture(5))
    (tmp_path / "frames/00002.png").unlink()
    assert "images missing between others" in str(flows("--video", tmp_path / "frames")[0])
    assert "number 2" in str(flows("--video", tmp_path / "frames")[0])


def test_sequences_that_were_asked_for_and_done_are_a_success(flows: Command, tmp_path: Path) -> None:
    root = davis(tmp_path / "DAVIS", libby=moving_texture(2), surf=moving_texture(2, seed=1))
    (root / "ImageSets/480p/val.txt").write_text("libby\nsurf\nbear\n")
    arguments = ("--dataset", "davis16", "--root", root)
    code, printed = flows(*arguments, "--sequences", "lib*")
    assert code == 0, printed
    assert "flow of 1 of 1 video, 2 frames made" in printed
    code, printed = flows(*arguments, "--sequences", "libby, s?rf")
    assert code == 0
    assert "flow of 2 of 2 videos, 2 frames made" in printed
    code, printed = flows(*arguments, "--sequences", "libby", "--sequences", "bear")
    assert code == 3
    assert "not done: bear: listed for val, but absent" in printed
    message = str(flows(*arguments, "--sequences", "libby,lobby")[0])
    assert "--sequences lobby chooses nothing in" in message
    assert "expected names or patterns of its sequences: bear, libby, surf" in message
    assert "leave it out otherwise" in str(flows("--video", tmp_path, "--sequences", "libby")[0])


def test_videos_in_classes_and_splits(flows: Command, tmp_path: Path) -> None:
    root = tmp_path / "YTOBJ"
    for name in ("cat/0002", "dog/0001"):
        write_frames(root / "JPEGImages" / name, moving_texture(2))
        write_frames(root / "Annotations" / name, np.zeros((2, 128, 160, 3), np.uint8))
    assert flows("--dataset", "ytobj", "--root", root, "--jpeg", root)[0] == 0
    assert (root / "JPEGFlows/cat/0002/00001.jpg").exists()
    assert zarr.open_group(tmp_path / "out.zarr", mode="r")["cat/0002/flow"].shape == (2, 128, 160, 2)
    root = tmp_path / "FBMS"
    for split, name in (("Testset", "camel01"), ("Trainingset", "bear01")):
        write_frames(root / split / name, moving_texture(2))
        write_frames(root / split / name / "GroundTruth", np.zeros((1, 128, 160, 3), np.uint8))
    assert flows("--dataset", "fbms", "--root", root, "--jpeg", tmp_path / "pre")[0] == 0
    assert (tmp_path / "pre/TestSet/JPEGFlows/camel01/00000.jpg").exists()
    assert len(list(read_flow(str(tmp_path / "out.zarr"), "bear01"))) == 2
