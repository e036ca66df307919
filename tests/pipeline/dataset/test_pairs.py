"""Pairs and clips as datasets of PyTorch."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import s3fs
import torch
from torch.utils.data import DataLoader

import pipeline
from pipeline import ClipDataset, PairDataset
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from tests.pipeline.drawn_dataset import make_dataset
from tests.pipeline.faulty_s3 import BUCKET, faulty_s3
from tests.pipeline.made_clips import make_clips

PAIRS = 2 * 2 * 2
"""Usable photos, motions and steps of the dataset of these tests."""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_clips(tmp_path_factory.mktemp("pairs"), objects="components"))


def test_pairs_are_the_cut_and_decoded_frames(url: str) -> None:
    dataset, samples = PairDataset(url), list(pipeline.open_dataset(url))
    assert len(dataset) == PAIRS
    has_occluded, number = False, 0
    for sample in samples:
        assert sample.frames is not None
        for motion in range(2):
            top, bottom, left, right = sample.frames.windows[motion].tolist()
            window = slice(top, bottom), slice(left, right)
            images = [sample.image, *sample.frames.images[motion]]
            labels = [sample.labels, *sample.frames.labels[motion]]
            for step in range(2):
                pair = dataset[number]
                assert pair["id"] == sample.id
                assert [pair[name].dtype for name in ("image1", "flow", "valid", "occluded", "labels")] == [
                    torch.uint8,
                    torch.float32,
                    torch.bool,
                    torch.bool,
                    torch.uint8,
                ]
                for name, image in (("image1", images[step]), ("image2", images[step + 1])):
                    np.testing.assert_array_equal(pair[name].permute(1, 2, 0), image[window])
                np.testing.assert_array_equal(pair["labels"], labels[step][window])
                flow = sample.frames.flow_px[motion, step][window]
                valid = np.isfinite(flow).all(-1)
                assert valid.all() == (number > 0)
                np.testing.assert_array_equal(pair["valid"], valid)
                np.testing.assert_array_equal(pair["flow"].permute(1, 2, 0), np.nan_to_num(flow))
                hidden = sample.frames.occlusion[motion, step][window] > 0
                assert not (hidden & valid & ~pair["occluded"].numpy()).any()
                assert not (pair["occluded"] & ~pair["valid"]).any()
                has_occluded |= bool(pair["occluded"].any())
                number += 1
    assert has_occluded


def test_what_leaves_the_window_is_occluded(url: str) -> None:
    whole, cut = PairDataset(url, cut_to_window=False), PairDataset(url)
    sample = pipeline.open_dataset(url)[0]
    assert sample.frames is not None
    leaves_only_the_window = 0
    for number in range(4):
        top, bottom, left, right = sample.frames.windows[number // 2].tolist()
        assert whole[number]["labels"].shape == sample.mask.shape
        before = whole[number]["occluded"][top:bottom, left:right]
        pair = cut[number]
        u, v = pair["flow"]
        rows, columns = torch.meshgrid(*map(torch.arange, u.shape), indexing="ij")
        x, y = torch.floor(columns + u + 0.5), torch.floor(rows + v + 0.5)
        leaves = (x < 0) | (y < 0) | (x >= u.shape[1]) | (y >= u.shape[0])
        torch.testing.assert_close(pair["occluded"], (before | leaves) & pair["valid"])
        leaves_only_the_window += int((leaves & ~before).sum())
    assert leaves_only_the_window


def test_clips_hold_their_pairs(url: str) -> None:
    clips, pairs = ClipDataset(url), PairDataset(url)
    assert len(clips) == PAIRS / 2
    for number in range(len(clips)):
        clip = clips[number]
        assert clip["images"].shape[:2] == (3, 3)
        assert clip["labels"].shape == (3, *clip["images"].shape[2:])
        for step in range(2):
            pair = pairs[2 * number + step]
            torch.testing.assert_close(clip["images"][step : step + 2], torch.stack([pair["image1"], pair["image2"]]))
            for name in ("flow", "valid", "occluded", "labels"):
                torch.testing.assert_close(clip[name][step], pair[name])


def test_crops_are_parts_of_the_pairs_and_differ_between_epochs_and_seeds(url: str) -> None:
    whole, dataset = PairDataset(url), PairDataset(url, crop=(32, 40), seed=1)
    first = [dataset[number] for number in range(PAIRS)]
    for number, crop in enumerate(first):
        assert crop["flow"].shape == (2, 32, 40)
        image = whole[number]["image1"]
        places = [
            (top, left)
            for top in range(image.shape[1] - 31)
            for left in range(image.shape[2] - 39)
            if torch.equal(image[:, top : top + 32, left : left + 40], crop["image1"])
        ]
        ((top, left),) = places
        part = slice(top, top + 32), slice(left, left + 40)
        for name in ("flow", "valid", "labels", "image2"):
            torch.testing.assert_close(whole[number][name][(..., *part)], crop[name])
    again = PairDataset(url, crop=(32, 40), seed=1)
    assert all(torch.equal(one["image1"], again[number]["image1"]) for number, one in enumerate(first))
    again.set_epoch(1)
    assert not all(torch.equal(one["image1"], again[number]["image1"]) for number, one in enumerate(first))
    other = PairDataset(url, crop=(32, 40), seed=2)
    assert not all(torch.equal(one["image1"], other[number]["image1"]) for number, one in enumerate(first))


def test_small_pairs_are_padded_with_pixels_that_are_not_valid(url: str) -> None:
    whole, padded = PairDataset(url)[1], PairDataset(url, crop=(120, 130))[1]
    height, width = whole["labels"].shape
    assert padded["image1"].shape == (3, 120, 130)
    for name in ("image1", "image2", "flow", "valid", "occluded", "labels"):
        torch.testing.assert_close(padded[name][..., :height, :width], whole[name])
    outside = torch.ones(120, 130, dtype=torch.bool)
    outside[:height, :width] = False
    assert not padded["valid"][outside].any()
    assert not padded["occluded"][outside].any()
    assert (padded["labels"][outside] == 255).all()
    assert (padded["flow"][:, outside] == 0).all()


def test_workers_of_a_loader_give_the_same_batches(url: str) -> None:
    dataset = PairDataset(url, crop=(32, 32))
    _ = dataset[0]  # opened here, so that opened files are left out of the copies
    here, apart = (list(DataLoader(dataset, batch_size=4, num_workers=count)) for count in (0, 2))
    assert [batch["id"] for batch in here] == [batch["id"] for batch in apart]
    for one, other in zip(here, apart, strict=True):
        assert one["image1"].shape == (4, 3, 32, 32)
        for name in ("image1", "image2", "flow", "valid", "occluded", "labels"):
            torch.testing.assert_close(one[name], other[name])
    copy = pickle.loads(pickle.dumps(dataset))
    torch.testing.assert_close(copy[-1]["flow"], dataset[len(dataset) - 1]["flow"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_object_store_gives_the_same_pairs(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with faulty_s3(monkeypatch):
        s3fs.S3FileSystem().put(url, f"{BUCKET}/clips.zarr", recursive=True)
        local, remote = PairDataset(url, crop=(32, 32)), PairDataset(f"s3://{BUCKET}/clips.zarr", crop=(32, 32))
        _ = remote[0]  # a session that workers must not inherit
        for one, other in zip(local, DataLoader(remote, batch_size=None, num_workers=1), strict=True):
            for name in ("image1", "image2", "flow", "valid", "occluded", "labels"):
                torch.testing.assert_close(one[name], other[name])


def test_numbers_out_of_range_and_empty_crops_are_refused(url: str) -> None:
    dataset = PairDataset(url)
    for number in (PAIRS, -PAIRS - 1):
        with pytest.raises(IndexError, match=f"has {PAIRS} items, numbered from 0; there is no item {number}"):
            _ = dataset[number]
    with pytest.raises(ValueError, match=r"crop is \(0, 32\); expected a height and a width of at least 1"):
        PairDataset(url, crop=(0, 32))


def test_what_cannot_be_trained_on_is_said_with_the_repair(url: str, tmp_path: Path) -> None:
    make_dataset(str(tmp_path / "photos.zarr"))
    with pytest.raises(PipelineError, match=r"photos.zarr holds single photos, .*`pipeline run --frames 2 "):
        PairDataset(str(tmp_path / "photos.zarr"))
    with pytest.raises(PipelineError, match=r"absent\.zarr"):
        PairDataset(str(tmp_path / "absent.zarr"))
    shutil.copytree(url, tmp_path / "part.zarr")
    (tmp_path / "part.zarr/.fakeflow/commits/000000.json").unlink()
    with pytest.raises(PipelineError, match=r"unfinished: 1 of 1 shards are missing\. Finish it by the command"):
        PairDataset(str(tmp_path / "part.zarr"))
    shutil.copytree(url, tmp_path / "failed.zarr")
    DatasetStore.open(str(tmp_path / "failed.zarr")).group["status"][:] = 1
    with pytest.raises(PipelineError, match=r"has no usable sample\. See `pipeline status --failures"):
        PairDataset(str(tmp_path / "failed.zarr"))
