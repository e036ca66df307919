"""Triplets from videos: what they hold, in which order, and which datasets and flows are refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from flowsim import flow_to_rgb
from segmentation.data.transforms import make_batch, prepare_batch
from segmentation.data.video_samples import VideoFrames
from segmentation.errors import DatasetError
from segmentation.flow.frame_flows import open_flows
from segmentation.training.validation import as_pixels
from segmentation.videos.datasets import open_dataset
from tests.segmentation.trees import SIZE, grey, save, square
from tests.segmentation.video_flows import FRAMES, draw_flow, draw_training_videos, save_flow_pictures, store_flow
from tests.segmentation.whole_epochs import epoch_of


@pytest.fixture
def davis(tmp_path: Path) -> Path:
    """DAVIS with two training videos, bear and libby, and their flow."""
    return draw_training_videos(tmp_path)


def frames_of(davis: Path, **options: object) -> VideoFrames:
    return VideoFrames("davis16", davis, str(davis.parent / "flows.zarr"), **options)  # type: ignore[arg-type]


def test_a_video_is_read_in_the_order_of_time(davis: Path) -> None:
    samples = list(frames_of(davis).sequence("libby"))
    assert [sample.id for sample in samples] == [f"libby/{name}" for name in FRAMES]
    for k, sample in enumerate(samples):
        np.testing.assert_array_equal(sample.mask, square(k + 2))
        np.testing.assert_allclose(sample.flow_px, draw_flow(*SIZE, k), rtol=0, atol=1 / 128)
        photo = cv2.imread(str(davis / f"JPEGImages/480p/libby/{k:05d}.jpg"))
        np.testing.assert_allclose(sample.image, photo[..., ::-1], atol=1)
        stored = open_flows(str(davis.parent / "flows.zarr"), open_dataset("davis16", davis, "train"))
        for video in open_dataset("davis16", davis, "train").videos:
            stored.check(video)
        assert sample.flow_rgb is None
        np.testing.assert_array_equal(as_pixels(sample)[1], stored.read_colors("libby", FRAMES[k]))


def test_every_frame_comes_once_in_an_order_of_seed_and_epoch(davis: Path) -> None:
    def order(seed: int, epoch: int) -> list[str]:
        return [sample.id for sample in epoch_of(frames_of(davis, seed=seed), epoch)]

    everything = {f"{video}/{name}" for video in ("bear", "libby") for name in FRAMES}
    assert sorted(order(0, 0)) == sorted(everything)
    assert order(3, 1) == order(3, 1)
    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4
    assert frames_of(davis).samples == 12


def test_only_chosen_videos_are_used(davis: Path) -> None:
    frames = frames_of(davis, sequences=["bear"])
    assert frames.sequences == ("bear",)
    assert {sample.id.split("/")[0] for sample in epoch_of(frames)} == {"bear"}
    with pytest.raises(DatasetError, match="libby is none of the videos bear"):
        frames.sequence("libby")
    with pytest.raises(DatasetError, match=r"DAVIS has no video horse in split train of DAVIS-2016"):
        frames_of(davis, sequences=["horse"])


def test_a_part_of_opened_videos_is_as_if_opened_alone(davis: Path) -> None:
    part, alone = frames_of(davis, seed=3).only(["libby"]), frames_of(davis, seed=3, sequences=["libby"])
    assert (part.sequences, part.samples, part.note) == (alone.sequences, alone.samples, alone.note)
    for one, other in zip(epoch_of(part, 1), epoch_of(alone, 1), strict=True):
        assert one.id == other.id
        assert torch.equal(one.image, other.image)
        assert torch.equal(one.flow_px, other.flow_px)


def test_flow_pictures_give_directions_relative_to_the_longest_vector(davis: Path, tmp_path: Path) -> None:
    for video in ("bear", "libby"):
        save_flow_pictures(tmp_path / f"pictures/JPEGFlows/480p/{video}", FRAMES, SIZE)
    frames = VideoFrames("davis16", davis, str(tmp_path / "pictures"))
    for k, sample in enumerate(frames.sequence("bear")):
        flow_px = draw_flow(*SIZE, k)
        expected = flow_px / np.linalg.norm(flow_px, axis=-1).max()
        assert np.abs(sample.flow_px.numpy() - expected).mean() < 0.04
    opened = open_flows(str(tmp_path / "pictures"), open_dataset("davis16", davis, "train"))
    for k, sample in enumerate(frames.sequence("libby")):
        written = tmp_path / f"pictures/JPEGFlows/480p/libby/{k:05d}.jpg"
        assert sample.flow_rgb is not None
        picture = cv2.imread(str(written))[..., ::-1]
        np.testing.assert_array_equal(sample.flow_rgb, picture)
        # What training, validation and evaluation see is one and the same.
        resized = cv2.resize(picture, (32, 32), interpolation=cv2.INTER_CUBIC)
        np.testing.assert_array_equal(prepare_batch([sample], side_px=32).colors[0], resized)
        np.testing.assert_array_equal(as_pixels(sample)[1], picture)
        np.testing.assert_array_equal(opened.read_colors("libby", f"{k:05d}"), picture)
    (tmp_path / "pictures/JPEGFlows/480p/libby/00004.jpg").unlink()
    with pytest.raises(DatasetError, match=r"1 annotated frame of libby has no flow picture.*libby/00004.jpg"):
        VideoFrames("davis16", davis, str(tmp_path / "pictures"))


def test_black_of_a_flow_picture_is_unknown_flow(davis: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures/JPEGFlows/480p/bear"
    save_flow_pictures(folder, FRAMES, SIZE)
    picture = cv2.imread(str(folder / "00002.jpg"))
    picture[:8, :16] = 0
    cv2.imwrite(str(folder / "00002.jpg"), picture)
    frames = VideoFrames("davis16", davis, str(tmp_path / "pictures"), sequences=["bear"])
    unknown = np.isnan(list(frames.sequence("bear"))[2].flow_px.numpy()).any(-1)
    assert unknown[:7, :15].all()
    assert not unknown[10:, 18:].any()


def test_places_without_flow_are_refused(davis: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"neither flows of DAVIS-2016 nor a folder JPEGFlows/480p"):
        VideoFrames("davis16", davis, str(tmp_path / "nothing"))
    store_flow(tmp_path / "bear.zarr", "bear", FRAMES, SIZE)
    with pytest.raises(DatasetError, match=r"bear.zarr has no complete flow of libby; run `segmentation flows"):
        VideoFrames("davis16", davis, str(tmp_path / "bear.zarr"))


def test_flow_of_other_frames_is_refused(davis: Path, tmp_path: Path) -> None:
    store_flow(tmp_path / "fewer.zarr", "bear", FRAMES[:3], SIZE)
    with pytest.raises(DatasetError, match=r"no flow of 3 annotated frames of bear, the first is 00003"):
        VideoFrames("davis16", davis, str(tmp_path / "fewer.zarr"), sequences=["bear"])
    store_flow(tmp_path / "other.zarr", "bear", FRAMES, SIZE, title="FBMS-59")
    with pytest.raises(DatasetError, match=r"holds flow of FBMS-59, not of DAVIS-2016"):
        VideoFrames("davis16", davis, str(tmp_path / "other.zarr"), sequences=["bear"])


def test_flow_of_another_size_is_taken_with_one_note(davis: Path, tmp_path: Path) -> None:
    from segmentation.data.transforms import Augmentation, make_batch

    store_flow(tmp_path / "half.zarr", "bear", FRAMES, (12, 16))
    frames = VideoFrames("davis16", davis, str(tmp_path / "half.zarr"), sequences=["bear"])
    assert "the flow of 1 video has another size than the images, such as bear: images 32x24, flow 16x12" in frames.note
    sample = next(frames.sequence("bear"))
    assert (sample.image.shape, sample.flow_px.shape) == ((24, 32, 3), (12, 16, 2))
    batch = make_batch([sample], side_px=32)
    colors = cv2.resize(flow_to_rgb(sample.flow_px.numpy()), (32, 32), interpolation=cv2.INTER_CUBIC)
    assert torch.equal(batch.flow_rgb[0], torch.from_numpy(colors).movedim(-1, 0) / 255)
    crops = Augmentation(flips="none", smallest_crop=0.3)
    cropped = make_batch([sample], augmentation=crops, generator=torch.Generator().manual_seed(1), side_px=32)
    assert cropped.flow_rgb.shape == (1, 3, 32, 32)
    assert not torch.equal(cropped.flow_rgb, batch.flow_rgb)


def test_flow_of_the_images_size_needs_no_note(davis: Path, tmp_path: Path) -> None:
    store_flow(tmp_path / "whole.zarr", "bear", FRAMES, SIZE)
    assert not VideoFrames("davis16", davis, str(tmp_path / "whole.zarr"), sequences=["bear"]).note


def test_masks_that_are_no_labels_are_refused(davis: Path) -> None:
    soft = grey(square(0)).copy()
    soft[0, 0] = 90
    save(davis / "Annotations/480p/bear/00002.png", soft)
    with pytest.raises(DatasetError, match=r"00002 of bear cannot be used: .*grey levels between.*\(90\); expected 0"):
        epoch_of(frames_of(davis))
    objects = square(0) * np.uint8(1) + square(0, 4) * np.uint8(1)
    save(davis / "Annotations/480p/bear/00002.png", objects)
    (sample,) = (sample for sample in epoch_of(frames_of(davis)) if sample.id == "bear/00002")
    assert (sample.mask.numpy() == square(0)).all()


def test_videos_without_images_or_annotations_are_refused(davis: Path) -> None:
    (davis / "JPEGImages/480p/bear/00003.jpg").unlink()
    with pytest.raises(DatasetError, match="the video bear of DAVIS-2016 cannot be used: masks without an image"):
        frames_of(davis)
    for mask in (davis / "Annotations/480p/libby").iterdir():
        mask.unlink()
    with pytest.raises(DatasetError, match="no annotated frame in split train of DAVIS-2016"):
        frames_of(davis, sequences=["libby"])


def test_damaged_images_are_named(davis: Path) -> None:
    path = davis / "JPEGImages/480p/bear/00001.jpg"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DatasetError, match="frame 00001 of bear cannot be used"):
        list(frames_of(davis).sequence("bear"))


def test_what_is_read_can_be_trained_on(davis: Path) -> None:
    batch = make_batch(epoch_of(frames_of(davis))[:3], side_px=32)
    assert batch.image.shape == batch.flow_rgb.shape == (3, 3, 32, 32)
    assert torch.equal(batch.mask.sum((1, 2)) > 0, torch.ones(3, dtype=torch.bool))
