"""Samples from Zarr datasets: what they hold, in which order, and which datasets are refused."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from flowsim import MotionPrior, MotionSample, Shot
from pipeline.dataset import schema
from pipeline.dataset.schema import Layout, decode_flow
from pipeline.dataset.shard_writer import write_shard
from pipeline.dataset.store import DatasetStore
from segmentation.data.photo_samples import ShardDataset
from segmentation.errors import DatasetError
from tests.pipeline.drawn_dataset import SEED, SIDE
from tests.segmentation.whole_epochs import epoch_of
from tests.segmentation.zarr_datasets import FAILED_ROW, make_dataset

USABLE_IDS = {f"scene {row}" for row in range(10) if row != FAILED_ROW}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("shards") / "x.zarr")


def ids(samples: ShardDataset, epoch: int = 0) -> list[str]:
    return [sample.id for sample in epoch_of(samples, epoch)]


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_samples_are_what_was_stored_at_true_size(dataset: Path, epoch: int) -> None:
    store = DatasetStore.open(str(dataset))
    samples = ShardDataset(str(dataset))
    found = {sample.id: sample for sample in epoch_of(samples, epoch)}
    assert found.keys() == USABLE_IDS
    assert samples.samples == 9
    for row in {0, 1, 9}:
        sample, (height, width) = found[f"scene {row}"], store.read("size", row)
        assert sample.mask.shape == (height, width) == ((SIDE, 30) if row % 2 else (24, 36))
        np.testing.assert_array_equal(sample.image.numpy(), store.read("image", row)[:height, :width])
        np.testing.assert_array_equal(sample.mask.numpy() * 255, store.read("mask", row)[:height, :width])
        flow_px = decode_flow(store.read("flow", row)[epoch % 2, :height, :width])
        np.testing.assert_array_equal(sample.flow_px.numpy(), flow_px)


def test_order_depends_on_seed_and_epoch_alone(dataset: Path) -> None:
    def order(seed: int, epoch: int) -> list[str]:
        return ids(ShardDataset(str(dataset), seed=seed), epoch)

    assert order(0, 0) == order(0, 0)
    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4


def test_without_a_buffer_shards_are_read_from_beginning_to_end(dataset: Path) -> None:
    order = [int(name.split()[1]) for name in ids(ShardDataset(str(dataset), buffer=1))]
    shards = [row // 2 for row in order]
    assert shards != sorted(shards)  # shuffled by shard
    assert all(abs(shards.index(shard) - place) <= 1 for place, shard in enumerate(shards))  # each in one piece
    assert all(a < b for a, b in pairwise(order) if a // 2 == b // 2)


def test_a_buffer_mixes_the_samples_of_several_shards(dataset: Path) -> None:
    samples = ShardDataset(str(dataset))
    firsts = {int(samples.order(epoch)[0]) for epoch in range(100)}
    assert len(firsts) == len(USABLE_IDS)  # every sample comes first some time, not only the first of a shard
    # No sample comes more than a buffer earlier than by shards in order.
    buffered = ShardDataset(str(dataset), buffer=3)
    plain = ShardDataset(str(dataset), buffer=1)
    moves = []
    for epoch in range(50):
        in_shards = plain.order(epoch).tolist()
        moves += [in_shards.index(row) - place for place, row in enumerate(buffered.order(epoch).tolist())]
    assert 0 < max(moves) <= 2


def test_fresh_motion_is_new_in_every_epoch_and_the_same_again(dataset: Path) -> None:
    def flows(seed: int, epoch: int) -> dict[str, torch.Tensor]:
        samples = ShardDataset(str(dataset), seed=seed, flow="fresh")
        return {sample.id: sample.flow_px for sample in epoch_of(samples, epoch)}

    first, again, later = flows(1, 0), flows(1, 0), flows(1, 7)
    for name in USABLE_IDS:
        torch.testing.assert_close(first[name], again[name], rtol=0, atol=0, equal_nan=True)
        assert not torch.equal(first[name].nan_to_num(), later[name].nan_to_num())
    # With the seed of the dataset, epoch 0 draws the stored motion of index 0: flow is the same up to its rounding.
    stored = {sample.id: sample.flow_px for sample in epoch_of(ShardDataset(str(dataset)))}
    for name, flow_px in flows(SEED, 0).items():
        torch.testing.assert_close(flow_px, stored[name], rtol=0, atol=1 / 128 + 1e-5, equal_nan=True)


def test_flow_is_unknown_where_a_fresh_motion_goes_behind_the_camera(tmp_path: Path) -> None:
    # All is far but one pixel, which a camera that moves ahead passes; the motion's size is not measured there.
    side, near = 96, (40, 60)
    shot = Shot(translation=((0.0,), (0.0,), (-1.0,)), far=(10.0,), magnitude=(0.3,), fov_deg=(60.0,))
    store = DatasetStore(str(tmp_path / "x.zarr"))
    layout = Layout(1, 1, side, MotionSample.names, 1)
    store.create(layout, {"settings": {"motion_prior": MotionPrior("ahead", (shot,)).to_dict()}})
    arrays = schema.empty_shard(layout, 1)
    inverse_depth = np.zeros((side, side), np.float32)
    inverse_depth[near] = 1
    arrays["id"][0], arrays["size"][0], arrays["status"][0] = "passage", (side, side), schema.USABLE
    arrays["inverse_depth"][0] = schema.encode_inverse_depth(inverse_depth)
    write_shard(store, 0, arrays, [], "float32")
    (sample,) = epoch_of(ShardDataset(str(tmp_path / "x.zarr"), flow="fresh"))
    assert np.argwhere(np.isnan(sample.flow_px[..., 0].numpy())).tolist() == [[*near]]
    assert np.abs(np.nan_to_num(sample.flow_px.numpy())).max() > 20


def test_unfinished_datasets_are_refused(tmp_path: Path) -> None:
    path = make_dataset(tmp_path / "part.zarr", samples=4, without_shard=1)
    with pytest.raises(DatasetError, match=r"part.zarr is unfinished: 1 of 2 shards are there.*goes on from there"):
        ShardDataset(str(path))
    assert sorted(ids(ShardDataset(str(path), allow_unfinished=True))) == ["scene 0", "scene 1"]
    for record in (path / ".fakeflow/commits").glob("*.json"):
        record.unlink()
    with pytest.raises(DatasetError, match=r"part.zarr has no finished shard"):
        ShardDataset(str(path), allow_unfinished=True)


def test_other_schema_versions_are_refused(tmp_path: Path) -> None:
    path = make_dataset(tmp_path / "x.zarr", samples=2)
    metadata = json.loads((path / "zarr.json").read_text())
    metadata["attributes"]["fakeflow"]["schema_version"] = 99
    (path / "zarr.json").write_text(json.dumps(metadata))
    with pytest.raises(DatasetError, match=r"x.zarr cannot be trained on.*schema version 99"):
        ShardDataset(str(path))


def test_places_without_a_dataset_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there is no dataset here"):
        ShardDataset(str(tmp_path / "nothing.zarr"))


def test_a_dataset_without_usable_samples_is_refused(tmp_path: Path) -> None:
    path = make_dataset(tmp_path / "x.zarr", samples=2)
    store = DatasetStore.open(str(path))
    store.group["status"][:] = 1  # type: ignore[index]
    with pytest.raises(DatasetError, match="has no usable sample"):
        ShardDataset(str(path))


def test_masks_that_are_no_labels_are_refused(tmp_path: Path) -> None:
    path = make_dataset(tmp_path / "x.zarr", samples=2)
    store = DatasetStore.open(str(path))
    masks = store.read("mask", slice(0, 2))
    masks[1, 3, 4] = 7
    store.group["mask"][0:2] = masks  # type: ignore[index]
    with pytest.raises(DatasetError, match=r"the mask of sample scene 1 has values \[7\], expected 0 and 255 alone"):
        epoch_of(ShardDataset(str(path)))
