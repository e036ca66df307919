"""Flow of videos seen by the commands of `pipeline`, and by plain Zarr."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import zarr
from PIL import Image

from flowsim import flow_to_rgb
from pipeline.dataset.flow_store import FlowDataset, FlowLayout
from pipeline.dataset.schema import encode_flow
from pipeline.dataset.shard_writer import write_shard
from pipeline.making.config import fingerprint
from tests.conftest import MakeDuts
from tests.pipeline.conftest import Command

SIZE = (40, 60)
FRAMES = 20
RIGHT, DOWN = (4.0, 0.0), (0.0, 8.0)


def store_flow(dataset: FlowDataset, video: str, flow_px: tuple[float, float], shards: int | None = None) -> None:
    """Write frames of one motion each; a few pixels of the last one are much faster."""
    layout, store = FlowLayout(FRAMES, *SIZE), dataset.video(video)
    settings = {"stride": 2}
    store.create(layout, {"weights": "raft-small.pth", "settings": settings, "fingerprint": fingerprint(settings)})
    for shard in range(layout.shard_count if shards is None else shards):
        rows = layout.rows(shard)
        flow = np.tile(np.float32(flow_px), (len(rows), *SIZE, 1))
        flow[-1, :2, :2] *= 20
        steps = np.stack([encode_flow(one, np.ones(SIZE, bool)) for one in flow])
        write_shard(store, shard, {"flow": steps, "frame": np.array([f"{k:05d}" for k in rows], object)}, [], "float32")


@pytest.fixture
def flows(tmp_path: Path) -> Path:
    """Two videos, one in a folder of its own: one moves to the right, the other down."""
    dataset = FlowDataset(str(tmp_path / "flows.zarr"))
    dataset.begin({})
    store_flow(dataset, "bear", RIGHT)
    store_flow(dataset, "cat/0001", DOWN)
    dataset.list_for_zarr()
    return tmp_path / "flows.zarr"


def color(flow_px: tuple[float, float]) -> np.ndarray:
    """Return the colour of a motion of full length."""
    return np.asarray(flow_to_rgb(np.float32([[flow_px]]), float(np.hypot(*flow_px))))[0, 0].astype(int)


def test_zarr_lists_videos_without_a_warning(flows: Path, pipeline: Command) -> None:
    root = zarr.open_group(flows, mode="r")
    assert sorted(name for name, _ in root.groups()) == ["bear", "cat"]
    assert [name for name, _ in root["cat"].groups()] == ["0001"]
    assert not list(root.arrays())
    assert sorted(root["bear"].array_keys()) == ["flow", "frame"]
    assert root["cat/0001/flow"].shape == (FRAMES, *SIZE, 2)
    assert root["bear/flow"][3, 20, 20].tolist() == [4 * 64, 0]
    verified = pipeline("verify", flows)
    assert verified.returncode == 0, verified.said


def test_zarr_lists_photos_without_a_warning(pipeline: Command, make_duts: MakeDuts, tmp_path: Path) -> None:
    small = ("--workers", 0, "--depth-model", "tiny-dpt", "--max-side", 96)
    assert pipeline("run", "--input", make_duts(2), "--output", tmp_path / "out.zarr", *small).returncode == 0
    root = zarr.open_group(tmp_path / "out.zarr", mode="r")
    assert not list(root.groups())
    assert {name for name, _ in root.arrays()} >= {"image", "flow"}


def test_videos_that_come_later_are_listed_too(flows: Path) -> None:
    dataset = FlowDataset.open(str(flows))
    store_flow(dataset, "dog", RIGHT)
    dataset.list_for_zarr()
    assert sorted(zarr.open_group(flows, mode="r").group_keys()) == ["bear", "cat", "dog"]
    assert FlowDataset.open(str(flows)).videos() == ["bear", "cat/0001", "dog"]


def test_status_says_how_far_each_video_is(flows: Path, pipeline: Command) -> None:
    printed = pipeline("status", flows).stdout
    assert f"{flows}: flow of 2 videos, complete\n" in printed
    assert "  bear: 20 of 20 frames, 60 x 40 px, raft-small.pth, stride 2\n" in printed
    store_flow(FlowDataset.open(str(flows)), "dog", RIGHT, shards=1)
    printed = pipeline("status", flows).stdout
    assert "flow of 3 videos, incomplete: run the same command again to continue" in printed
    assert "  dog: 16 of 20 frames" in printed
    assert "flow of 1 video, complete" in pipeline("status", flows / "bear").stdout


def test_preview_draws_a_line_for_each_video(flows: Path, pipeline: Command, tmp_path: Path) -> None:
    picture = tmp_path / "sheet.png"
    assert pipeline("preview", flows, "--output", picture).stdout == f"{picture}\n"
    with Image.open(picture) as opened:
        sheet = np.asarray(opened).astype(int)
    top, line = 52 + 22, round(220 * 40 / 60) + 22 + 6
    for number, flow_px in enumerate((RIGHT, DOWN)):
        for column in range(4):
            seen = sheet[top + number * line + 70, 6 + column * 226 + 110]
            assert np.abs(seen - color(flow_px)).max() < 6, (number, column)


def test_preview_of_one_video_can_be_a_video(flows: Path, pipeline: Command, tmp_path: Path) -> None:
    clip = tmp_path / "bear.mp4"
    assert pipeline("preview", flows / "bear", "--output", clip).returncode == 0
    capture = cv2.VideoCapture(str(clip))
    frames = []
    while (frame := capture.read())[0]:
        frames.append(frame[1][..., ::-1].astype(int))
    capture.release()
    assert len(frames) == FRAMES
    assert frames[0].shape == (*SIZE, 3)
    for frame in frames:
        assert np.abs(frame[20, 30] - color(RIGHT)).max() < 20
    refused = pipeline("preview", flows, "--output", clip)
    assert refused.returncode == 1
    assert f"holds 2 videos; name one of them: {flows}/bear" in refused.stderr


def test_report_shows_frames_and_lengths(flows: Path, pipeline: Command, tmp_path: Path) -> None:
    assert pipeline("report", flows, "--output", tmp_path / "report.html").returncode == 0
    page = (tmp_path / "report.html").read_text()
    assert page.count('alt="flow of bear, frame ') == page.count('alt="flow of cat/0001, frame ') == 4
    assert re.search(r"Median length</h3><span>[^<]*px", page)
    assert "cat/0001: 20 of 20 frames" in page
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)


@pytest.mark.parametrize("command", ["status", "preview", "report"])
def test_reading_commands_say_what_is_there_and_what_they_expect(
    command: str, pipeline: Command, tmp_path: Path
) -> None:
    folder, picture = tmp_path / "holiday", tmp_path / "beach.jpg"
    folder.mkdir()
    for path in (folder / "beach.jpg", picture):
        path.write_bytes(b"photo")
    expected = "Expected what `pipeline run --input ... --output FOLDER` makes."
    for wrong, found in (
        (folder, "is a folder with other files in it (beach.jpg)."),
        (picture, "is a file, not a data"),
    ):
        done = pipeline(command, wrong)
        assert done.returncode == 1
        assert f"{wrong} {found}" in done.stderr
        assert expected in done.stderr
        assert "does not exist yet" not in done.stderr


def test_a_run_on_another_folder_says_to_choose_another_place(
    pipeline: Command, make_duts: MakeDuts, flows: Path
) -> None:
    done = pipeline("run", "--input", make_duts(1), "--depth-model", "tiny-dpt", "--output", flows)
    assert done.returncode == 1
    assert "holds flows of videos, not photos. Choose a place that does not exist yet." in done.stderr
