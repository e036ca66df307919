"""RAFT: the original's numbers, whatever the size of frames, batches and threads; and a sentence for every mistake."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from flowsim import read_flo
from segmentation.errors import FlowError
from segmentation.flow.raft import Raft, _Fit, load_raft
from segmentation.flow.raft_network import RaftNetwork
from segmentation.flow.raft_weights import open_raft
from tests.conftest import SHARED
from tests.segmentation.stand_in_raft import REFERENCE, moving_texture

REAL_SMALL = SHARED / "weights/raft-small.pth"


@pytest.fixture
def small(checkpoints: dict[str, Path]) -> Raft:
    return load_raft(str(checkpoints["raft_small"]), iterations=2)


def plain(raft: Raft, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Estimate flow by torchvision's own forward pass, one pair at a time; both sides are multiples of 8."""
    images = [torch.from_numpy(np.array(i)).permute(2, 0, 1)[None].float() / 255 * 2 - 1 for i in (first, second)]
    with torch.inference_mode():
        flows = raft.loaded.network(*images, num_flow_updates=raft.iterations)
    return np.asarray(flows[-1][0].permute(1, 2, 0))


def end_point_error(flow: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(flow - expected.astype(np.float32), axis=-1).mean())


def test_large_raft_reproduces_the_original(checkpoints: dict[str, Path]) -> None:
    reference = np.load(REFERENCE / "raft_seed0.npz")
    network = RaftNetwork(open_raft(str(checkpoints["raft"])).network, torch.device("cpu"))
    first, second = (torch.from_numpy(reference[name])[None] / 255 * 2 - 1 for name in ("frame1", "frame2"))
    with torch.inference_mode():
        flow = network.flow(network.features(first), network.context(first), network.features(second), 3)[0]
    assert np.abs(flow.numpy() - reference["flow"]).max() < 1e-2


@pytest.mark.shared
def test_small_raft_reproduces_the_original_on_davis() -> None:
    reference = np.load(SHARED / "reference/raft_small_davis.npz")
    raft = load_raft(str(REAL_SMALL))
    for name in reference:
        video, *numbers = name.split("_")
        folder = SHARED / "data/DAVIS/JPEGImages/480p" / video
        frames = np.stack([cv2.imread(str(folder / f"{number}.jpg"))[..., ::-1] for number in numbers])
        assert end_point_error(raft(frames)[0], reference[name]) < 0.02


@pytest.mark.shared
def test_true_flow_of_flying_chairs_is_met() -> None:
    raft = load_raft(str(REAL_SMALL))
    folder = SHARED / "data/FlyingChairs"
    errors = []
    for truth in sorted(folder.glob("*-gt.flo")):
        names = (truth.name.replace("gt.flo", f"img{k}.png") for k in (0, 1))
        frames = np.stack([cv2.imread(str(folder / name))[..., ::-1] for name in names])
        errors.append(end_point_error(raft(frames)[0], read_flo(truth).flow))
    assert np.mean(errors) < 1.8, errors


@pytest.mark.parametrize("network", ["raft", "raft_small"])
def test_sharing_work_changes_nothing(network: str, checkpoints: dict[str, Path]) -> None:
    raft = load_raft(str(checkpoints[network]), iterations=3)
    frames = moving_texture(4)
    for k, flow in enumerate(raft(frames)):
        np.testing.assert_allclose(flow, plain(raft, frames[k], frames[k + 1]), atol=2e-3)


def test_frames_of_any_size_are_padded_as_the_original_does(small: Raft) -> None:
    # Five rows and three columns are missing: the larger half goes below and to the right.
    frames = moving_texture(2, 131, 157)
    padded = np.pad(frames, ((0, 0), (2, 3), (1, 2), (0, 0)), mode="edge")
    expected = plain(small, padded[0], padded[1])[2:-3, 1:-2]
    np.testing.assert_allclose(small(frames)[0], expected, atol=1e-3)


def test_values_depend_on_neither_threads_nor_neighbours(checkpoints: dict[str, Path]) -> None:
    frames = moving_texture(5)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(load_raft(str(checkpoints["raft_small"]), iterations=2)(frames))
    finally:
        torch.set_num_threads(threads)
    assert (results[0] == results[1]).all()
    assert (results[0] == results[2]).all()
    alone = load_raft(str(checkpoints["raft_small"]), iterations=2)(frames[2:4])
    assert (alone[0] == results[0][2]).all()


def test_any_pairs_in_one_reading(small: Raft) -> None:
    frames = moving_texture(6)
    pairs = [(0, 2), (1, 3), (2, 4), (3, 5), (4, 2), (5, 3)]
    for (first, second), flow in zip(pairs, small.stream(iter(frames), pairs), strict=True):
        assert (flow == small(frames[[first, second]])[0]).all()


def held_tensors() -> int:
    """Return the bytes of all tensors that are alive."""
    gc.collect()
    storages = {
        one.untyped_storage().data_ptr(): one.untyped_storage().nbytes()
        for one in gc.get_objects()
        if type(one) is torch.Tensor  # isinstance would ask proxies
    }
    return sum(storages.values())


def test_a_long_video_is_never_held(small: Raft) -> None:
    alive: list[weakref.ref[np.ndarray]] = []

    def frames() -> Iterator[np.ndarray]:
        for image in moving_texture(12):
            frame = image.copy()
            alive.append(weakref.ref(frame))
            yield frame

    ahead, held_frames, held_bytes = [], [], {}
    for done, _ in enumerate(small.stream(frames(), [(k, k + 1) for k in range(11)]), 1):
        ahead.append(len(alive) - done)
        held_frames.append(sum(frame() is not None for frame in alive))
        if done in (4, 10):
            held_bytes[done] = held_tensors()
    assert max(ahead) <= torch.get_num_threads() + 1  # read no earlier than needed
    assert max(held_frames) <= torch.get_num_threads() + 1  # and forgotten afterwards
    assert held_bytes[10] <= held_bytes[4]  # what is computed of frames does not pile up either


def test_small_frames_are_refused_or_enlarged(checkpoints: dict[str, Path], small: Raft) -> None:
    frames = moving_texture(2, 100, 120)
    with pytest.raises(FlowError, match=r"frames are 120x100; RAFT needs 128 px on both sides.*--upscale"):
        small(frames)
    enlarging = load_raft(str(checkpoints["raft_small"]), iterations=2, upscale=True)
    flow = enlarging(frames)
    assert flow.shape == (1, 100, 120, 2)
    large = np.stack([cv2.resize(frame, (154, 128), interpolation=cv2.INTER_LINEAR) for frame in frames])
    expected = cv2.resize(small(large)[0], (120, 100), interpolation=cv2.INTER_LINEAR) * (120 / 154, 100 / 128)
    assert end_point_error(flow[0], expected) < 0.02 * np.linalg.norm(expected, axis=-1).mean() + 0.02


def test_flow_of_enlarged_frames_shrinks_with_them() -> None:
    # 86x87 becomes 128x129 for the network, padded to 128x136: 7 columns, 3 of them at the left.
    fit = _Fit.of(np.zeros((86, 87, 3), np.uint8), upscale=True)
    flow = torch.zeros(2, 128, 136)
    flow[0, :, 3:132], flow[1, :, 3:132] = 12.9, 12.8
    np.testing.assert_allclose(fit.restore(flow), np.broadcast_to(np.float32([8.7, 8.6]), (86, 87, 2)), rtol=1e-5)


@pytest.mark.shared
def test_motion_of_enlarged_frames_is_in_their_own_pixels() -> None:
    flow = load_raft(str(REAL_SMALL), iterations=8, upscale=True)(moving_texture(2, 96, 120))[0]
    assert end_point_error(flow[10:-10, 10:-10], np.array([3.0, 1.0])) < 0.5


def test_videos_that_are_none(small: Raft) -> None:
    with pytest.raises(FlowError, match="flow needs two frames, here is 1"):
        small(moving_texture(1))
    with pytest.raises(FlowError, match="ends after 1 frame, but frame 1 is needed"):
        list(small.stream(iter(moving_texture(1)), [(0, 1)]))
    mixed = [moving_texture(1)[0], moving_texture(1, 136, 160)[0]]
    with pytest.raises(FlowError, match="frame 1 is 160x136, the frames before it 160x128; expected frames of one"):
        list(small.stream(iter(mixed), [(0, 1)]))


@pytest.mark.gpu
@pytest.mark.shared
def test_gpu_agrees_with_the_cpu() -> None:
    frames = moving_texture(4, 128, 160)
    expected, found = (load_raft(str(REAL_SMALL), device)(frames) for device in ("cpu", "cuda"))
    assert end_point_error(found, expected) < 0.1
