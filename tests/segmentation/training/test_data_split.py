"""The data of a training: what is learnt from, what is held out, and which data are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline.dataset.store import DatasetStore
from segmentation.data.photo_samples import ShardDataset
from segmentation.data.video_samples import VideoFrames
from segmentation.errors import DatasetError, SegmentationError, TrainingError
from segmentation.training.data_split import Part, open_data
from tests.segmentation.training_runs import (
    make_videos,
    settings_in,
    train_in,
)
from tests.segmentation.trees import SIZE
from tests.segmentation.video_flows import FRAMES, store_flow
from tests.segmentation.zarr_datasets import FAILED_ROW, FINGERPRINT, make_dataset


def test_videos_are_opened_once(tmp_path: Path) -> None:
    mixture, validation = open_data(settings_in(tmp_path, videos=(make_videos(tmp_path),), samples_per_epoch=200))
    (learnt,) = mixture.sources
    assert isinstance(learnt, VideoFrames)
    ((name, judged, _),) = validation.sequences
    assert isinstance(judged, VideoFrames)
    assert {*learnt.sequences, name} == {"bear", "libby"}
    assert judged.sequences == (name,)
    assert judged._flows is learnt._flows


@pytest.mark.parametrize("fresh", [False, True])
def test_photos_are_opened_once_and_validated_on_with_their_stored_flow(tmp_path: Path, fresh: bool) -> None:
    settings = settings_in(tmp_path, fresh_motion=fresh)
    (url,) = settings.data
    mixture, validation = open_data(settings)
    (part,) = mixture.sources
    assert isinstance(part, Part)
    assert isinstance(part.source, ShardDataset)
    ((_, judged, _),) = validation.sequences
    assert isinstance(judged, ShardDataset)
    assert judged._rows is part.source._rows
    assert (part.source.flow, judged.flow) == ("fresh" if fresh else "stored", "stored")
    assert mixture.fingerprints == {DatasetStore.open(url).name: FINGERPRINT}


def test_photos_that_are_judged_by_are_never_drawn(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, preset="paper-stage2", samples_per_epoch=200)
    mixture, validation = open_data(settings)
    ((_, _, held_out),) = validation.sequences
    drawn = {int(number) for number in mixture._draw(0)[:, 2]}
    assert len(held_out) == 1
    assert drawn == set(range(10)) - {FAILED_ROW} - set(held_out)


def test_data_that_cannot_be_learnt_from_are_refused(tmp_path: Path) -> None:
    make_dataset(tmp_path / "unfinished.zarr", without_shard=1)
    with pytest.raises(DatasetError, match=r"unfinished.zarr is unfinished"):
        train_in(tmp_path, data=(str(tmp_path / "unfinished.zarr"),))
    make_dataset(tmp_path / "old.zarr")
    metadata = json.loads((tmp_path / "old.zarr/zarr.json").read_text())
    metadata["attributes"]["fakeflow"]["schema_version"] = 0
    (tmp_path / "old.zarr/zarr.json").write_text(json.dumps(metadata))
    with pytest.raises(DatasetError, match="has schema version 0"):
        train_in(tmp_path, data=(str(tmp_path / "old.zarr"),))
    videos = make_videos(tmp_path)
    other = videos.replace("flows.zarr", "other.zarr")
    with pytest.raises(
        SegmentationError, match=r"the flow .*other.zarr does not exist; expected what `segmentation flows"
    ):
        train_in(tmp_path, videos=(other,))
    (tmp_path / "other.zarr").mkdir()
    with pytest.raises(DatasetError, match=r"other.zarr holds neither flows of DAVIS-2016 nor"):
        train_in(tmp_path, videos=(other,))
    mask = tmp_path / "DAVIS/Annotations/480p/bear/00002.png"
    cv2.imwrite(str(mask), np.full((24, 32), 100, np.uint8))
    with pytest.raises(SegmentationError, match=r"frame 00002 of bear cannot be used.*100"):
        train_in(tmp_path, videos=(videos,), samples_per_epoch=24)
    (tmp_path / "DAVIS/ImageSets/480p/train.txt").write_text("")
    with pytest.raises(SegmentationError, match=r"list of split train of DAVIS-2016 in .*DAVIS is empty"):
        train_in(tmp_path, videos=(videos,), output=str(tmp_path / "empty"))
    assert not (tmp_path / "empty").exists()


def test_flow_of_several_kinds_is_refused_or_asked_for(tmp_path: Path) -> None:
    videos = make_videos(tmp_path)
    kinds: dict[str, dict[str, Any]] = {
        "weights": {"weights": "raft-small:C_T_V1"},
        "stride": {"stride": 2},
        "same": {},
    }
    for name, kind in kinds.items():
        for video in ("bear", "libby"):
            store_flow(tmp_path / f"{name}.zarr", video, FRAMES, SIZE, **kind)
    other = {name: videos.replace("flows.zarr", f"{name}.zarr") for name in kinds}
    with pytest.raises(
        DatasetError,
        match=r"flow of libby in .*flows.zarr was made by raft-large:C_T_SKHT_V2 \([0-9a-f]{8}\), that of bear in "
        r".*weights.zarr by raft-small:C_T_V1 \([0-9a-f]{8}\); .*--mixed-flow",
    ):
        open_data(settings_in(tmp_path, videos=(videos, other["weights"])))
    with pytest.raises(DatasetError, match=r"flows.zarr has stride 1, that of bear in .*stride.zarr stride 2;"):
        open_data(settings_in(tmp_path, videos=(videos, other["stride"])))
    open_data(settings_in(tmp_path, videos=(videos, other["same"])))
    store_flow(tmp_path / "half.zarr", "bear", FRAMES, SIZE)
    store_flow(tmp_path / "half.zarr", "libby", FRAMES, SIZE, weights="raft-small:C_T_V1")
    half = videos.replace("flows.zarr", "half.zarr")
    with pytest.raises(DatasetError, match=r"bear in .*half.zarr was made by .*, that of libby in .*half.zarr by"):
        open_data(settings_in(tmp_path, videos=(half,)))
    mixed = settings_in(tmp_path, videos=(videos, other["stride"], half), mixed_flow=True)
    assert len(open_data(mixed)[0].sources) == 3
    assert mixed.content() == replace(mixed, mixed_flow=False).content()


def test_chosen_sequences_alone_are_learnt_from(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, videos=(make_videos(tmp_path),), select="davis16-val", sequences=("be*",))
    mixture, validation = open_data(settings)
    assert {sample.id.split("/")[0] for sample in mixture} == {"bear"}
    assert [name for name, *_ in validation.sequences] == ["libby"]
    (tmp_path / "DAVIS/ImageSets/480p/train.txt").write_text("bear\nlibby\nsurf\n")
    judged = open_data(replace(settings, select="held-out", sequences=("bear", "libby")))[1]
    assert [name for name, *_ in judged.sequences] in (["bear"], ["libby"])
    with pytest.raises(DatasetError, match=r"--sequences lobby chooses nothing in .*: bear, libby, surf"):
        open_data(replace(settings, sequences=("bear", "lobby")))
    with pytest.raises(DatasetError, match="the video surf of DAVIS-2016 cannot be used: listed for train, but absent"):
        open_data(replace(settings, sequences=("surf",)))
    with pytest.raises(TrainingError, match="--sequences is given without --videos"):
        open_data(replace(settings_in(tmp_path), sequences=("bear",)))


def test_sequences_with_commas_between_them_are_those_of_a_list(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, videos=(make_videos(tmp_path),), sequences=("bear, libby",))
    assert settings.content()["sequences"] == ["bear", "libby"]
    assert {name for name, *_ in open_data(settings)[1].sequences} < {"bear", "libby"}
