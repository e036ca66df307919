"""Mixtures: shares, order, ranks, workers, resuming; and what the command line says of sources."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from segmentation.data.mixture import Mixture
from segmentation.data.photo_samples import ShardDataset, Triplet
from segmentation.data.source_names import PhotoSource, VideoSource
from segmentation.data.video_samples import VideoFrames
from segmentation.errors import DatasetError, SegmentationError
from tests.segmentation.trees import SIZE, davis16
from tests.segmentation.video_flows import draw_training_videos, store_flow
from tests.segmentation.zarr_datasets import make_dataset

Sources = list[tuple[ShardDataset | VideoFrames, float]]
PHOTOS, FRAMES = 9, 6


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """Nine photos with weight 3, the six frames of bear with weight 1."""
    folder = tmp_path_factory.mktemp("mixture")
    davis16(folder / "DAVIS")
    store_flow(folder / "flows.zarr", "bear", [f"{k:05d}" for k in range(FRAMES)], SIZE)
    photos = ShardDataset(str(make_dataset(folder / "x.zarr")))
    return [(photos, 3), (VideoFrames("davis16", folder / "DAVIS", str(folder / "flows.zarr")), 1)]


def ids(mixture: Mixture, epoch: int = 0, skip: int = 0) -> list[str]:
    mixture.set_epoch(epoch, skip)
    return [sample.id for sample in mixture]


def is_photo(name: str) -> bool:
    return name.startswith("scene")


def test_sources_contribute_by_weight(sources: Sources) -> None:
    for epoch in range(3):
        found = ids(Mixture(sources, 8), epoch)
        assert len(found) == 8
        assert sum(map(is_photo, found)) == 6


def test_every_sample_comes_equally_often(sources: Sources) -> None:
    mixture = Mixture(sources, 8)
    counts = Counter(name for epoch in range(9) for name in ids(mixture, epoch))
    assert {count for name, count in counts.items() if is_photo(name)} == {9 * 6 // PHOTOS}
    assert {count for name, count in counts.items() if not is_photo(name)} == {9 * 2 // FRAMES}
    assert len(counts) == PHOTOS + FRAMES


def test_epochs_may_be_longer_than_the_sources(sources: Sources) -> None:
    counts = Counter(ids(Mixture(sources, 72)))
    assert {count for name, count in counts.items() if is_photo(name)} == {54 // PHOTOS}
    assert {count for name, count in counts.items() if not is_photo(name)} == {18 // FRAMES}


def test_order_depends_on_seed_and_epoch_alone(sources: Sources) -> None:
    used = Mixture(sources, 8)
    ids(used, 4)
    assert ids(used, 2) == ids(Mixture(sources, 8), 2)
    assert len({tuple(ids(Mixture(sources, 8, seed=seed), epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4


@pytest.mark.parametrize("rank", [0, 1])
def test_each_rank_continues_its_own_part_of_an_epoch(sources: Sources, rank: int) -> None:
    whole = ids(Mixture(sources, 8), 1)[rank::2]
    for skip in (0, 1, 3):
        assert ids(Mixture(sources, 8, rank=rank, ranks=2), 1, skip) == whole[skip:]


def test_an_epoch_continues_where_it_was_left(sources: Sources) -> None:
    mixture = Mixture(sources, 8)
    whole = ids(mixture, 1)
    for skip in (1, 5, 8):
        assert ids(mixture, 1, skip) == whole[skip:]
        assert len(mixture) == 8 - skip


def test_a_rank_continues_where_it_was_left(sources: Sources) -> None:
    for rank in range(2):
        mixture = Mixture(sources, 8, rank=rank, ranks=2)
        whole = ids(mixture, 1)
        assert len(whole) == 4
        assert ids(mixture, 1, 3) == whole[3:]
        assert ids(mixture, 1, 1) == whole[1:]


def test_ranks_share_an_epoch(sources: Sources) -> None:
    parts = [ids(Mixture(sources, 8, rank=rank, ranks=3), 1) for rank in range(3)]
    assert [len(part) for part in parts] == [3, 3, 2]
    assert Counter(name for part in parts for name in part) == Counter(ids(Mixture(sources, 8), 1))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on one core
def test_spawned_workers_change_nothing(sources: Sources) -> None:
    def batches(workers: int) -> list[list[list[str]]]:
        mixture = Mixture(sources, 8)
        loader: DataLoader[Triplet] = DataLoader(
            mixture,
            batch_size=3,
            num_workers=workers,
            collate_fn=list,
            multiprocessing_context="spawn" if workers else None,
            persistent_workers=workers > 0,
        )
        epochs = []
        for epoch, skip in ((0, 0), (1, 3)):
            mixture.set_epoch(epoch, skip)
            epochs.append([[sample.id for sample in batch] for batch in loader])
        return epochs

    assert batches(2) == batches(0)


def test_the_published_way_draws_videos_first_and_with_replacement(tmp_path: Path) -> None:
    """Two videos of 2 and 6 frames come equally often, as do nine photos; a sample may come twice in an epoch."""
    davis = draw_training_videos(tmp_path)
    for number in range(2, 6):
        (davis / f"Annotations/480p/bear/{number:05d}.png").unlink()
    videos = VideoFrames("davis16", davis, str(tmp_path / "flows.zarr"))
    photos = ShardDataset(str(make_dataset(tmp_path / "x.zarr")))
    drawn = Mixture([(photos, 3), (videos, 1)], 400, with_replacement=True)
    numbers = [drawn._draw(epoch) for epoch in range(20)]
    assert all((epoch_numbers[:, 0] == 1).sum() == 100 for epoch_numbers in numbers)
    frames = Counter(int(number) for some in numbers for source, _, number in some if source == 1)
    assert sorted(frames) == list(range(8))
    assert sum(frames[number] for number in (0, 1)) == pytest.approx(1000, abs=100)  # four standard deviations: 90
    assert all(frames[number] == pytest.approx(1000 / 6, rel=0.3) for number in range(2, 8))
    each = Counter(int(number) for some in numbers for source, _, number in some if source == 0)
    assert len(each) == PHOTOS
    assert all(count == pytest.approx(6000 / PHOTOS, rel=0.2) for count in each.values())
    assert len({count for count in each.values()}) > 1
    one, again, other = (Mixture([(photos, 3), (videos, 1)], 8, with_replacement=True, seed=s) for s in (0, 0, 1))
    assert ids(one, 1) == ids(again, 1) != ids(other, 1)
    assert ids(one, 2) != ids(one, 1)
    parts = [Mixture([(photos, 3), (videos, 1)], 8, with_replacement=True, rank=rank, ranks=2) for rank in range(2)]
    assert Counter(ids(parts[0], 1) + ids(parts[1], 1)) == Counter(ids(one, 1))


def test_photos_get_a_new_motion_each_time_they_come(sources: Sources) -> None:
    photos = ShardDataset(sources[0][0].url, flow="fresh")  # type: ignore[union-attr]
    flows = [sample.flow_px.numpy() for sample in Mixture([(photos, 1)], 3 * PHOTOS) if sample.id == "scene 0"]
    assert len(flows) == 3
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert not np.allclose(np.nan_to_num(flows[one]), np.nan_to_num(flows[other]))


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=4), st.integers(1, 50_000))
def test_shares_are_whole_and_near_the_weights(weights: list[float], samples: int) -> None:
    from segmentation.data.mixture import _share

    exact = np.array(weights) / sum(weights) * samples
    if exact.min() >= 1:
        shares = _share(weights, samples)
        assert sum(shares) == samples
        assert np.abs(shares - exact).max() < 1


@pytest.mark.parametrize(
    ("weights", "samples", "shares"),
    [([1, 1, 1], 8, [3, 3, 2]), ([3, 1], 9, [7, 2]), ([1, 3], 10, [3, 7]), ([6, 3, 1], 8, [5, 2, 1])],
)
def test_the_largest_remainders_are_rounded_up(weights: list[float], samples: int, shares: list[int]) -> None:
    from segmentation.data.mixture import _share

    assert _share(weights, samples) == shares


def test_what_cannot_be_mixed_is_said(sources: Sources) -> None:
    with pytest.raises(DatasetError, match="nothing to train on"):
        Mixture([], 8)
    with pytest.raises(DatasetError, match=r"a weight is -1; expected a positive number"):
        Mixture([(sources[0][0], -1)], 8)
    with pytest.raises(DatasetError, match=r"the weights 1000, 1 leave a source without any of the 8 samples"):
        Mixture([(sources[0][0], 1000), (sources[1][0], 1)], 8)


def test_sources_are_read_from_the_command_line() -> None:
    assert PhotoSource.parse("dutsv2.zarr") == PhotoSource("dutsv2.zarr", 3)
    assert PhotoSource.parse("s3://bucket/dutsv2.zarr:2.5") == PhotoSource("s3://bucket/dutsv2.zarr", 2.5)
    assert PhotoSource.parse("s3://bucket/dutsv2.zarr") == PhotoSource("s3://bucket/dutsv2.zarr", 3)
    assert VideoSource.parse("davis16=data/DAVIS:f.zarr:3") == VideoSource("davis16", Path("data/DAVIS"), "f.zarr", 3)
    assert VideoSource.parse("davis16=DAVIS:s3://b/f.zarr") == VideoSource("davis16", Path("DAVIS"), "s3://b/f.zarr")
    with pytest.raises(SegmentationError, match=r"'davis16=DAVIS' names no videos with their flows"):
        VideoSource.parse("davis16=DAVIS")
    with pytest.raises(SegmentationError, match=r"the weight of 'x.zarr:0' is 0; expected a positive number"):
        PhotoSource.parse("x.zarr:0")
    with pytest.raises(SegmentationError, match=r"':2' names no dataset"):
        PhotoSource.parse(":2")
