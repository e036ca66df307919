"""`segmentation fit-motion` as a user runs it."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from flowsim import MotionPrior
from pipeline.dataset.flow_store import FlowDataset, FlowLayout
from pipeline.dataset.schema import encode_flow
from pipeline.dataset.shard_writer import write_shard
from pipeline.dataset.store import DatasetStore
from segmentation import cli
from segmentation.data.source_names import VideoSource
from segmentation.errors import FlowError
from segmentation.training.motion_fit import fields_of_folder, fields_of_videos, scenes_of
from tests.segmentation.zarr_datasets import make_dataset

Fit = Callable[..., tuple[int | str | None, str]]


@pytest.fixture
def fit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Fit:
    def run(*arguments: str | Path) -> tuple[int | str | None, str]:
        monkeypatch.setattr(sys, "argv", ["segmentation", "fit-motion", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        return stopped.value.code, printed.out + printed.err

    return run


def moving_object(frames: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw flow (n,h,w,2) px of a still background with an object that moves, and its mask (n,h,w)."""
    random = np.random.default_rng(seed)
    flow, mask = np.zeros((frames, 24, 40, 2), np.float32), np.zeros((frames, 24, 40), bool)
    for k in range(frames):
        mask[k, 6:18, 10 + k : 22 + k] = True
        flow[k] = cv2.GaussianBlur(random.normal(0, 0.3, (24, 40, 2)).astype(np.float32), None, 3)
        flow[k][mask[k]] += random.uniform((1, -0.2), (3, 0.2))
    return flow, mask


def test_prior_of_a_folder_of_fields_is_one_that_runs_take(fit: Fit, tmp_path: Path) -> None:
    photos = make_dataset(tmp_path / "photos.zarr", samples=24, motions=1)
    folder = tmp_path / "fields"
    folder.mkdir()
    for seed in range(3):
        flow, mask = moving_object(7, seed)
        stored = np.rint(flow * 64).astype(np.int16) if seed == 0 else flow
        np.savez(folder / f"video{seed}.npz", flow=stored, mask=mask if seed else (mask * 255).astype(np.uint8))
    output = tmp_path / "priors/handheld.toml"
    code, printed = fit("--photos", photos, "--fields", folder, "--output", output)
    assert code == 0, printed
    assert "types of shot" in printed
    text = output.read_text()
    assert "to fields: 3 videos, 21 flow fields, 23 photos" in text
    prior = MotionPrior.from_dict(tomllib.loads(text))
    assert prior.name == "handheld"
    assert not prior.object_area
    with_areas = MotionPrior.from_dict(tomllib.loads(text.replace("# object_area", "object_area")))
    assert with_areas.shots == prior.shots
    assert with_areas.object_area == pytest.approx([12 * 12 / (24 * 40)] * 9, rel=0.01)
    # p90 of |flow| is about 2 px of 40, and the object does the moving.
    assert 0.01 < np.median(prior.shots[0].magnitude) < 0.15
    assert list(output.parent.iterdir()) == [output]


def test_stored_steps_and_other_sizes_of_frames_are_understood(tmp_path: Path) -> None:
    flow, mask = moving_object(2, 0)
    np.savez(tmp_path / "clip.npz", flow=np.rint(flow * 64).astype(np.int16), mask=mask)
    (field, where, side_px), _ = fields_of_folder(tmp_path, 854)["clip"]
    np.testing.assert_allclose(field, flow[0], atol=1 / 128)
    assert (where == mask[0]).all()
    assert side_px == 854


def test_fields_of_a_dataset_are_its_flow_with_its_masks(tmp_path: Path) -> None:
    flow, mask = moving_object(4, 1)
    root = tmp_path / "DAVIS"
    for name in ("Annotations", "JPEGImages"):
        (root / name / "480p/libby").mkdir(parents=True)
    for k in range(4):
        picture = cv2.imencode(".png", mask[k].astype(np.uint8) * 255)[1].tobytes()
        (root / f"JPEGImages/480p/libby/{k:05d}.png").write_bytes(picture)
        (root / f"Annotations/480p/libby/{k:05d}.png").write_bytes(picture)
    (root / "ImageSets/480p").mkdir(parents=True)
    (root / "ImageSets/480p/train.txt").write_text("libby\n")
    flows = FlowDataset(str(tmp_path / "flows.zarr"))
    flows.begin({})
    video = flows.video("libby")
    video.create(FlowLayout(4, 24, 40), {})
    names = np.array([f"{k:05d}" for k in range(4)], object)
    steps = np.stack([encode_flow(each, np.ones((24, 40), bool)) for each in flow])
    write_shard(video, 0, {"flow": steps, "frame": names}, [], "float32")
    found = list(fields_of_videos(VideoSource.parse(f"davis16={root}:{tmp_path / 'flows.zarr'}")))
    assert len(found) == 4
    for k, (name, (flow_px, where, side_px)) in enumerate(found):
        assert (name, side_px) == ("libby", 40)
        np.testing.assert_allclose(flow_px, flow[k], atol=1 / 128)
        assert (where == mask[k]).all()
    for path in sorted((root / "JPEGImages/480p/libby").iterdir()):
        picture = root / "JPEGFlows/480p/libby" / f"{path.stem}.jpg"
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_bytes(path.read_bytes())
    with pytest.raises(FlowError, match="holds pictures, which do not tell lengths; make flow by"):
        next(fields_of_videos(VideoSource.parse(f"davis16={root}:{root}")))


def test_photos_of_a_shard_without_a_record_are_not_simulated_on(tmp_path: Path) -> None:
    photos = make_dataset(tmp_path / "photos.zarr", samples=6)
    assert len(scenes_of(str(photos), None)) == 5
    DatasetStore.open(str(photos)).commits.drop(0)
    assert len(scenes_of(str(photos), None)) == 3


def test_mistakes_are_one_sentence(fit: Fit, tmp_path: Path) -> None:
    photos = make_dataset(tmp_path / "photos.zarr", samples=4, motions=1)
    given = ("--photos", photos, "--output", tmp_path / "x.toml")
    folder = tmp_path / "fields"
    folder.mkdir()
    assert "give either --videos NAME=ROOT:FLOWS, or --fields" in str(fit(*given)[0])
    assert "names no videos with their flows; expected NAME=ROOT:FLOWS" in str(
        fit(*given, "--videos", f"davis16={tmp_path}")[0]
    )
    assert "expected a name that ends in .toml" in str(
        fit("--photos", photos, "--output", tmp_path / "x", "--fields", folder)[0]
    )
    assert "holds no .npz file; expected one per video" in str(fit(*given, "--fields", folder)[0])
    flow, mask = moving_object(3, 0)
    np.savez(folder / "a.npz", flow=flow, mask=mask)
    assert "3 of 3 flow fields move" in str(fit(*given, "--fields", folder)[0])
    np.savez(folder / "b.npz", flow=flow[:2], mask=mask)
    assert "b.npz: flow is float32 (2, 24, 40, 2), mask bool (3, 24, 40); expected" in str(
        fit(*given, "--fields", folder)[0]
    )
    (folder / "b.npz").write_bytes(b"no archive")
    assert "b.npz cannot be used" in str(fit(*given, "--fields", folder)[0])
    assert not (tmp_path / "x.toml").exists()
