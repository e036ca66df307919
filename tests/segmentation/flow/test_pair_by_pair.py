"""Estimators that know one pair at a time: what a video gives, small frames, and sentences for bad ones."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from segmentation.errors import FlowError
from segmentation.flow.dis import load_dis
from segmentation.flow.pair_by_pair import PairByPair
from tests.segmentation.commands import Command
from tests.segmentation.flow_videos import davis
from tests.segmentation.stand_in_raft import moving_texture
from tests.segmentation.video_flows import read_flow


def test_dis_finds_a_shift_and_gives_the_same_for_a_pair_and_for_a_video() -> None:
    random = np.random.default_rng(0)
    coarse = random.random((20, 30, 3)).astype(np.float32)
    picture = (255 * cv2.resize(coarse, (240, 160), interpolation=cv2.INTER_CUBIC).clip(0, 1)).astype(np.uint8)
    first, second = picture[10:-10, 10:-10], picture[8:-12, 7:-13]  # what was at (x, y) is at (x + 3, y + 2)
    flow = load_dis().pair(first, second)
    assert np.abs(np.median(flow.reshape(-1, 2), 0) - (3, 2)).max() < 0.2
    streamed = list(load_dis().stream(iter([first, second, first]), [(0, 1), (1, 2)]))
    assert np.array_equal(streamed[0], flow)
    assert np.abs(np.median(streamed[1].reshape(-1, 2), 0) - (-3, -2)).max() < 0.2


def test_flow_of_a_video_does_not_depend_on_what_is_computed_at_the_same_time() -> None:
    frames = moving_texture(6)
    pairs = [(0, 1), (1, 2), (2, 4), (5, 4)]
    dis, threads = load_dis(), torch.get_num_threads()
    try:
        found = []
        for count in (1, 3):
            torch.set_num_threads(count)
            found.append(list(dis.stream(iter(frames), pairs)))
    finally:
        torch.set_num_threads(threads)
    for one, other, (first, second) in zip(*found, pairs, strict=True):
        assert np.array_equal(one, other)
        assert np.array_equal(one, dis.pair(frames[first], frames[second]))


def test_pairs_are_computed_at_the_same_time_and_few_frames_are_in_memory() -> None:
    meeting = threading.Barrier(2, timeout=20)
    read = 0

    def estimate(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        meeting.wait()
        return np.zeros((*first.shape[:2], 2), np.float32)

    def frames():
        nonlocal read
        for frame in moving_texture(9):
            read += 1
            yield frame

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        stream = PairByPair("own", "own", estimate, "cpu", False).stream(frames(), [(k, k + 1) for k in range(8)])
        ahead = [read - done for done, _ in enumerate(stream)]
    finally:
        torch.set_num_threads(threads)
    assert len(ahead) == 8
    assert max(ahead) <= 3


def test_frames_that_are_too_small_are_enlarged_on_request_or_refused() -> None:
    first, second = moving_texture(2, 24, 40)
    with pytest.raises(FlowError, match=r"frames are 40x24; DIS needs 32 px on both sides. .* with --upscale"):
        load_dis().pair(first, second)
    flow = load_dis(upscale=True).pair(first, second)
    assert flow.shape == (24, 40, 2)
    large = [cv2.resize(frame, (53, 32), interpolation=cv2.INTER_CUBIC) for frame in (first, second)]
    factors = np.array([40 / 53, 24 / 32])
    assert np.median(flow, (0, 1)) == pytest.approx(np.median(load_dis().pair(*large), (0, 1)) * factors, abs=0.2)
    with pytest.raises(FlowError, match="frame 1 is 30x24, the frames before it 40x24; expected frames of one size"):
        list(load_dis(upscale=True).stream(iter([first, second[:, :30]]), [(0, 1)]))
    with pytest.raises(FlowError, match="the video ends before frame 2"):
        list(load_dis(upscale=True).stream([first, second], [(0, 1), (1, 2)]))


def test_small_videos_by_dis(segmentation: Command, tmp_path: Path) -> None:
    root = davis(tmp_path / "DAVIS", libby=moving_texture(3, 24, 40))
    command = ["flows", "--dataset", "davis16", "--root", root, "--flow", "dis", "--workers", 0]
    code, printed = segmentation(*command, "--output", tmp_path / "no.zarr")
    assert (code, "libby: frames are 40x24; DIS needs 32 px" in printed) == (3, True)
    code, printed = segmentation(*command, "--output", tmp_path / "flows.zarr", "--upscale")
    assert code == 0, printed
    assert len(list(read_flow(str(tmp_path / "flows.zarr"), "libby"))) == 3
    code, printed = segmentation(*command, "--output", tmp_path / "flows.zarr", "--upscale", "--raft-iterations", 3)
    assert (code, "0 frames made in this run" in printed) == (0, True)  # RAFT's iterations do not matter
