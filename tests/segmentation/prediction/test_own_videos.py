"""`segmentation predict` as a user runs it: videos, folders, photos, and a sentence for every mistake."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from depth import DepthEstimator
from pipeline.dataset.schema import decode_flow, encode_flow
from pipeline.engine.placement import Placement
from segmentation.flow.clips import clip_of
from segmentation.flow.estimate import make_flows
from segmentation.flow.raft import load_raft
from segmentation.flow.settings import EstimatorSettings
from segmentation.network.checkpoint import load_network
from segmentation.network.segmenter import Segmenter
from segmentation.prediction.own_videos import frames_with_flow
from segmentation.videos.overlay import tinted
from tests.conftest import draw_scene, write_png
from tests.segmentation.commands import Command, Outcome
from tests.segmentation.drawn_videos import plain_mask, read_grey, read_rgb
from tests.segmentation.stand_in_raft import moving_texture
from tests.segmentation.training_runs import Watcher
from tests.segmentation.video_flows import read_flow


@pytest.fixture
def predict(segmentation: Command, raft: Path, checkpoint: Path, tmp_path: Path) -> Command:
    """Run `segmentation predict` with a small network, small weights of RAFT and tiny-dpt."""

    def run(*inputs: object, output: str = "out") -> Outcome:
        arguments = [*inputs, "--checkpoint", checkpoint, "--output", tmp_path / output, "--depth-model", "tiny-dpt"]
        arguments += ["--raft", raft, "--raft-iterations", "1"]
        return segmentation("predict", *arguments)

    return run


def write_clip(path: Path, frames: np.ndarray, frames_per_second: float) -> np.ndarray:
    """Write a video; return its frames as they are decoded."""
    size = frames.shape[2], frames.shape[1]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), frames_per_second, size)
    for frame in frames:
        writer.write(frame[..., ::-1])
    writer.release()
    return decode(path)[0]


def decode(path: Path) -> tuple[np.ndarray, float]:
    """Return the frames of a video, and how many there are in a second."""
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1][..., ::-1])
    return np.stack(frames), capture.get(cv2.CAP_PROP_FPS)


def test_a_video(predict: Command, checkpoint: Path, raft: Path, tmp_path: Path) -> None:
    frames = write_clip(tmp_path / "clip.mp4", moving_texture(7), 12.5)
    code, printed = predict(tmp_path / "clip.mp4")
    assert code == 0, printed
    assert "7 frames, flow estimated by RAFT (small.pth)" in printed
    flow = load_raft(str(raft), iterations=1)
    estimated = [*flow(frames), -flow(frames[[6, 5]])[0]]
    flow_px = [
        decode_flow(encode_flow(one, np.ones(one.shape[:2], bool))) for one in estimated
    ]  # in the steps in which flow is stored
    masks = [read_grey(path) for path in sorted((tmp_path / "out/clip/masks").iterdir())]
    assert len(masks) == 7
    for image, flow_of_frame, mask in zip(frames, flow_px, masks, strict=True):
        expected = plain_mask(checkpoint, image, flow_of_frame)
        assert 0.02 < (expected > 0).mean() < 0.98
        assert (mask != expected).mean() < 1e-3
    overlay, frames_per_second = decode(tmp_path / "out/clip/overlay.mp4")
    assert overlay.shape == frames.shape
    assert frames_per_second == 12.5
    drawn = np.stack([tinted(image, mask > 0) for image, mask in zip(frames, masks, strict=True)])
    difference = np.abs(overlay.astype(int) - drawn).mean()
    assert difference < 0.5 * np.abs(frames.astype(int) - drawn).mean()  # drawn on, not the frames themselves


def test_a_folder_of_frames_and_photos(predict: Command, checkpoint: Path, tmp_path: Path) -> None:
    for k, frame in enumerate(moving_texture(3, 97, 131)):  # small, and of odd sides
        write_png(tmp_path / f"holiday/{k:03d}.png", frame)
    photo, _ = draw_scene(0)
    write_png(tmp_path / "photo.png", photo)
    code, printed = predict(tmp_path / "holiday", tmp_path / "photo.png")
    assert code == 0, printed
    assert sorted(path.name for path in (tmp_path / "out/holiday/masks").iterdir()) == ["000.png", "001.png", "002.png"]
    assert decode(tmp_path / "out/holiday/overlay.mp4")[0].shape == (3, 98, 132, 3)
    assert "1 frame, flow simulated from depth by tiny-dpt, not measured" in printed
    assert "simulated from depth" in json.loads((tmp_path / "out/photo/about.json").read_text())["flow"]
    # The nearer, the further to the right; colours do not depend on how far.
    (inverse_depth,) = DepthEstimator.load("tiny-dpt")([photo])
    expected = plain_mask(checkpoint, photo, np.stack([inverse_depth, np.zeros_like(inverse_depth)], axis=-1))
    mask = read_grey(tmp_path / "out/photo/masks/photo.png")
    assert (mask != expected).mean() < 0.01
    assert (read_rgb(tmp_path / "out/photo/overlay.png") == tinted(photo, mask > 0)).all()
    assert predict(tmp_path / "photo.png", "--side-px", 128, output="larger")[0] == 0
    assert (read_grey(tmp_path / "larger/photo/masks/photo.png") != mask).any()


def test_a_video_of_one_frame_is_segmented_as_a_photo(predict: Command, tmp_path: Path) -> None:
    frame = moving_texture(1)
    write_clip(tmp_path / "clip.mp4", frame, 10)
    write_png(tmp_path / "frames/00000.png", frame[0])
    code, printed = predict(tmp_path / "clip.mp4", tmp_path / "frames")
    assert code == 0, printed
    for name in ("clip", "frames"):
        assert (
            f"out/{name}: 1 frame, flow simulated from depth by tiny-dpt, not measured: a photo has no motion"
            in printed
        )
        assert [path.name for path in (tmp_path / f"out/{name}/masks").iterdir()] == ["00000.png"]
        assert (tmp_path / f"out/{name}/overlay.png").exists()


def test_what_cannot_be_read_is_named_and_leaves_nothing(predict: Command, tmp_path: Path) -> None:
    for k, frame in enumerate(moving_texture(4)):
        write_png(tmp_path / f"frames/{k:05d}.png", frame)
    (tmp_path / "frames/00003.png").write_bytes(b"no image")
    (tmp_path / "clip.mp4").write_bytes(b"no video")
    (tmp_path / "photo.jpg").write_bytes(b"no photo")
    write_png(tmp_path / "good.png", draw_scene(0)[0])
    names = ("frames", "clip.mp4", "photo.jpg", "good.png")
    code, printed = predict(*(tmp_path / name for name in names))
    assert code == 3
    assert "00003.png cannot be read: not an image" in printed
    assert "clip.mp4 is no video that can be decoded" in printed
    assert "photo.jpg cannot be read: not an image" in printed
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good"]
    code, printed = predict(tmp_path / "good.png")
    assert code == 3
    assert "good exists already; remove it, or choose another --output" in printed


def test_two_inputs_of_one_name_are_refused(predict: Command, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_png(tmp_path / folder / "cat.png", draw_scene(0)[0])
    code, _ = predict(tmp_path / "a/cat.png", tmp_path / "b/cat.png")
    assert "would both be written to" in str(code)
    assert not (tmp_path / "out").exists()


def test_a_network_in_training_mode_predicts_as_in_evaluation(checkpoint: Path) -> None:
    network = load_network(checkpoint)
    image = moving_texture(1)[0]
    colors = np.ascontiguousarray(image[::-1])
    (expected,) = Segmenter(network, "cpu")([(image, colors)])
    state = {name: values.clone() for name, values in network.state_dict().items()}
    for masks in (Segmenter(network.train(), "cpu")([(image, colors)]) for _ in range(2)):
        np.testing.assert_array_equal(masks[0], expected)
    for name, values in network.state_dict().items():
        assert torch.equal(values, state[name]), name  # no statistics were gathered


def test_few_frames_are_held_at_a_time(raft: Path) -> None:
    read, held = 0, []

    def frames() -> Iterator[np.ndarray]:
        nonlocal read
        for frame in moving_texture(40):
            read += 1
            yield frame

    for done, _ in enumerate(frames_with_flow(frames(), 40, load_raft(str(raft), iterations=1))):
        held.append(read - done)
    assert len(held) == 40
    assert max(held) <= torch.get_num_threads() + 1


def test_prediction_sees_the_flow_that_is_stored_for_training(raft: Path, tmp_path: Path) -> None:
    frames = moving_texture(4)
    folder = tmp_path / "clip"
    for number, frame in enumerate(frames):
        write_png(folder / f"{number:05d}.png", frame)
    settings = EstimatorSettings(raft=str(raft), raft_iterations=1)
    make_flows([clip_of(folder)], str(tmp_path / "flows.zarr"), settings, Watcher(), Placement(0))
    seen = [flow_px for _, flow_px in frames_with_flow(frames, 4, load_raft(str(raft), iterations=1))]
    stored = [flow_px for _, flow_px in read_flow(str(tmp_path / "flows.zarr"), "clip")]
    np.testing.assert_array_equal(np.stack(seen), np.stack(stored))


def test_flow_by_dis_needs_no_weights(segmentation: Command, checkpoint: Path, tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", moving_texture(4), 10)
    command = ["predict", tmp_path / "clip.mp4", "--checkpoint", checkpoint, "--output", tmp_path / "out"]
    code, printed = segmentation(*command, "--raft", tmp_path / "absent.pth")
    assert code != 0
    assert "--flow dis needs no weights" in f"{code}{printed}"
    code, printed = segmentation(*command, "--flow", "dis")
    assert code == 0, printed
    assert "4 frames, flow estimated by DIS" in printed
    assert len(list((tmp_path / "out/clip/masks").iterdir())) == 4


def test_a_clip_of_two_frames_and_one_that_stands_still_get_masks(
    segmentation: Command, checkpoint: Path, tmp_path: Path
) -> None:
    texture = moving_texture(2)
    write_clip(tmp_path / "two.mp4", texture, 10)
    write_clip(tmp_path / "still.mp4", np.stack([texture[0]] * 5), 10)
    code, printed = segmentation(
        "predict", tmp_path / "two.mp4", tmp_path / "still.mp4", "--checkpoint", checkpoint, "--flow", "dis",
        "--output", tmp_path / "out",
    )  # fmt: skip
    assert code == 0, printed
    assert [len(list((tmp_path / f"out/{name}/masks").iterdir())) for name in ("two", "still")] == [2, 5]
