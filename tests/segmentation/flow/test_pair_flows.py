"""Estimated flow of pairs: made row by row beside the dataset, and learnt from in its place."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from PIL import Image

from flowsim import flow_to_rgb
from pipeline.checking.verify import verify
from pipeline.command.progress import Silent
from pipeline.dataset.pair_flows import PairFlowStore
from pipeline.dataset.schema import decode_flow
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from pipeline.making.config import RunConfig
from pipeline.making.run import run
from pipeline.sharing.publish import publish
from pipeline.showing.frame_pictures import read_clips
from pipeline.showing.frame_preview import write_preview
from pipeline.showing.sheets import GAP, HEADER, LABEL, TILE, scaled_to
from segmentation.data.photo_samples import ShardDataset
from segmentation.data.source_names import PhotoSource
from segmentation.errors import DatasetError, SegmentationError
from segmentation.flow.frame_flows import FlowOrigin, require_one_kind
from segmentation.flow.pair_estimate import estimate_as_video
from segmentation.flow.raft import load_raft
from tests.conftest import draw_duts
from tests.pipeline.drawn_dataset import contents
from tests.segmentation.commands import Command
from tests.segmentation.trees import SIZE
from tests.segmentation.video_flows import FRAMES, store_flow


def make_pairs(folder: Path, name: str, **changes: object) -> Path:
    settings = {"frames": 2, "motions": 2, "samples_per_shard": 2, "max_side": 128, "motion": "camera+object"}
    photos = folder / "DUTS"
    if not photos.exists():
        draw_duts(photos, 3)
    output = folder / name
    run(RunConfig(input=str(photos), output=str(output), depth_model="tiny-dpt", workers=0, **(settings | changes)))  # type: ignore[arg-type]
    return output


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    make_pairs(folder, "pairs.zarr")
    return folder


@pytest.fixture
def folder(made_once: Path, tmp_path: Path) -> Path:
    shutil.copytree(made_once, tmp_path, dirs_exist_ok=True)
    return tmp_path


def dis(segmentation: Command, folder: Path, output: str = "flows.zarr") -> str:
    flows = folder / output
    code, printed = segmentation(
        "flows", "--pairs", folder / "pairs.zarr", "--flow", "dis", "--workers", 0, "--output", flows
    )
    assert code == 0, printed
    return printed


def test_estimated_flow_is_near_the_exact_one_and_known_in_the_window(segmentation: Command, folder: Path) -> None:
    printed = dis(segmentation, folder)
    assert "flow of all pairs" in printed
    assert "6 pairs made in this run" in printed
    exact = ShardDataset(str(folder / "pairs.zarr"))
    store = PairFlowStore.open(str(folder / "flows.zarr"))
    for row, found in enumerate(store.read("flow", slice(None))):
        height, width = exact.read([row], 0)[0].mask.shape
        for motion in range(2):
            top, bottom, left, right = (int(edge) for edge in _window(folder, row, motion))
            estimated = decode_flow(found[motion, :height, :width])
            is_known = np.isfinite(estimated).all(-1)
            expected = np.zeros_like(is_known)
            expected[top:bottom, left:right] = True
            assert np.array_equal(is_known, expected)
            truth = exact.read([row], motion)[0].flow_px.numpy()
            error = np.hypot(*np.moveaxis(estimated - truth, -1, 0))[is_known & np.isfinite(truth).all(-1)]
            still = np.hypot(*np.moveaxis(truth, -1, 0))[is_known & np.isfinite(truth).all(-1)]
            assert np.median(error) < max(0.6, 0.7 * float(np.median(still)))


def _window(folder: Path, row: int, motion: int) -> np.ndarray:
    array = zarr.open_group(str(folder / "pairs.zarr"), mode="r")["window"]
    return np.asarray(array[row, motion])  # type: ignore[index]


def test_an_interrupted_estimate_is_continued_to_the_same_bytes(segmentation: Command, folder: Path) -> None:
    dis(segmentation, folder)
    undisturbed = contents(folder / "flows.zarr")
    (folder / "flows.zarr/.fakeflow/commits/000001.json").unlink()
    (folder / "flows.zarr/flow/c/1/0/0/0/0").unlink()
    assert "2 pairs made in this run" in dis(segmentation, folder)
    assert contents(folder / "flows.zarr") == undisturbed
    assert "0 pairs made in this run" in dis(segmentation, folder)


def test_a_copy_without_images_gives_the_same_flow_with_its_photos(segmentation: Command, folder: Path) -> None:
    dis(segmentation, folder)
    slim, flows = folder / "slim", folder / "slim-flows.zarr"
    publish(str(folder / "pairs.zarr"), str(slim), Silent(), with_images=False)
    options = ("--flow", "dis", "--workers", 0, "--output", flows)
    assert "its photos are needed here. Give their folder by `--photos FOLDER`" in str(
        segmentation("flows", "--pairs", slim, *options)[0]
    )
    assert not flows.exists()
    code, printed = segmentation("flows", "--pairs", slim, "--photos", folder / "DUTS", *options)
    assert code == 0, printed
    assert f"--data {slim}:{flows} --photos {folder / 'DUTS'} --output" in printed
    whole, again = (contents(place / "flow") for place in (folder / "flows.zarr", flows))
    assert again == whole
    of_a_video = segmentation("flows", "--video", slim, "--photos", slim, "--output", folder / "x")
    assert "--photos belongs to --pairs" in str(of_a_video[0])


def test_samples_with_estimated_flow_are_cut_to_their_windows(segmentation: Command, folder: Path) -> None:
    dis(segmentation, folder)
    estimated = ShardDataset(str(folder / "pairs.zarr"), flows=str(folder / "flows.zarr"))
    exact = ShardDataset(str(folder / "pairs.zarr"))
    assert estimated.samples == exact.samples
    for epoch in range(2):
        for row in range(3):
            (sample,), (whole,) = estimated.read([row], epoch), exact.read([row], epoch)
            top, bottom, left, right = (int(edge) for edge in _window(folder, row, epoch))
            assert torch.equal(sample.image, whole.image[top:bottom, left:right])
            assert torch.equal(sample.mask, whole.mask[top:bottom, left:right])
            assert torch.isfinite(sample.flow_px).all()
            assert not torch.equal(sample.flow_px, whole.flow_px[top:bottom, left:right])


def test_training_learns_from_estimated_flow(segmentation: Command, folder: Path) -> None:
    dis(segmentation, folder)
    code, printed = segmentation(
        "train", "--data", f"{folder / 'pairs.zarr'}:{folder / 'flows.zarr'}:2", "--output", folder / "run",
        "--size", "small", "--initialization", "random", "--side-px", 64, "--batch-size", 2,
        "--samples-per-epoch", 4, "--epochs", 1, "--device", "cpu",
    )  # fmt: skip
    assert code == 0, printed
    assert (folder / "run").is_dir()


def test_flow_of_another_dataset_is_refused(segmentation: Command, folder: Path) -> None:
    dis(segmentation, folder)
    other = make_pairs(folder, "other.zarr", seed=9)
    with pytest.raises(DatasetError, match=r"flow of another dataset \(.*pairs.zarr\), not of .*other.zarr"):
        ShardDataset(str(other), flows=str(folder / "flows.zarr"))
    with pytest.raises(DatasetError, match="holds photos, not estimated flow of a dataset"):
        ShardDataset(str(other), flows=str(other))
    with pytest.raises(DatasetError, match="neither fresh motions nor zero flow"):
        ShardDataset(str(folder / "pairs.zarr"), flow="fresh", flows=str(folder / "flows.zarr"))


def test_unfinished_flow_is_refused(segmentation: Command, folder: Path) -> None:
    dis(segmentation, folder)
    (folder / "flows.zarr/.fakeflow/commits/000001.json").unlink()
    with pytest.raises(DatasetError, match=r"is unfinished: 1 shard missing\. Continue it by `segmentation flows"):
        ShardDataset(str(folder / "pairs.zarr"), flows=str(folder / "flows.zarr"))


def test_flow_of_other_weights_does_not_mix() -> None:
    video = FlowOrigin("bear", "davis.zarr", "raft-small.pth", "a" * 64, 1, 480)
    pairs = FlowOrigin("pairs.zarr", "flows.zarr", "dis of OpenCV 4", "b" * 64, 1, None)
    with pytest.raises(DatasetError, match=r"bear in davis.zarr was made by raft-small.pth .* dis of OpenCV 4"):
        require_one_kind([video, pairs])
    require_one_kind([video, FlowOrigin("pairs.zarr", "flows.zarr", "raft-small.pth", "a" * 64, 1, None)])


def test_the_contact_sheet_shows_estimated_beside_exact_flow(segmentation: Command, folder: Path) -> None:
    dis(segmentation, folder)
    pairs, flows, sheet = DatasetStore.open(str(folder / "pairs.zarr")), folder / "flows.zarr", folder / "sheet.png"
    write_preview(pairs, sheet, 2, str(flows))
    (clip, *_) = read_clips(pairs, 0, PairFlowStore.open(str(flows)))
    assert clip.estimate_px is not None
    longest = float(np.linalg.norm(clip.flow_px, axis=-1).max())
    expected = np.asarray(scaled_to(np.asarray(flow_to_rgb(clip.estimate_px, longest)), TILE))
    left, top = GAP + 3 * (TILE + GAP) + (TILE - expected.shape[1]) // 2, HEADER + LABEL
    drawn = np.asarray(Image.open(sheet))[top : top + expected.shape[0], left : left + expected.shape[1]]
    assert np.array_equal(drawn, expected)
    assert not np.array_equal(expected, np.asarray(scaled_to(np.asarray(flow_to_rgb(clip.flow_px)), TILE)))

    other, plain = make_pairs(folder, "other.zarr", seed=9), make_pairs(folder, "plain.zarr", frames=1)
    of_videos = folder / "video-flows.zarr"
    store_flow(of_videos, "bear", FRAMES, SIZE)
    for store, path, given, sentence in (
        (DatasetStore.open(str(other)), sheet, flows, "is the flow of another dataset"),
        (DatasetStore.open(str(plain)), sheet, flows, "estimated flow is drawn on the contact sheet of pairs or clips"),
        (pairs, folder / "sheet.webp", flows, "estimated flow is drawn on the contact sheet of pairs or clips"),
        (pairs, sheet, of_videos, "holds flows of videos, not estimated flow of a dataset"),
    ):
        with pytest.raises(PipelineError, match=sentence):
            write_preview(store, path, 2, str(given))


def test_photos_without_a_second_frame_are_refused(segmentation: Command, folder: Path) -> None:
    plain = make_pairs(folder, "plain.zarr", frames=1)
    code, printed = segmentation("flows", "--pairs", plain, "--flow", "dis", "--output", folder / "x.zarr")
    assert code != 0
    assert "has photos without a second frame" in f"{code}{printed}"
    assert not (folder / "x.zarr").exists()
    dis(segmentation, folder)
    data = f"{plain}:{folder / 'flows.zarr'}"
    code, printed = segmentation("train", "--data", data, "--initialization", "random", "--output", folder / "run")
    assert "plain.zarr has photos without a second frame, so no flow can be estimated" in str(code)
    assert not (folder / "run").exists()


def test_options_of_videos_do_not_go_with_pairs(segmentation: Command, tmp_path: Path) -> None:
    for options, sentence in (
        (("--pairs", "a", "--video", "b"), "give one of --dataset with --root, --video and --pairs"),
        (("--pairs", "a", "--stride", "2"), "--jpeg and --stride belong to videos"),
        (("--pairs", tmp_path / "absent.zarr"), "absent.zarr does not exist; expected a dataset"),
    ):
        code, printed = segmentation("flows", *options, "--flow", "dis", "--output", tmp_path / "x.zarr")
        assert code != 0
        assert sentence in f"{code}{printed}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.zarr", ("a.zarr", None, 3)),
        ("a.zarr:2", ("a.zarr", None, 2)),
        ("a.zarr:b.zarr", ("a.zarr", "b.zarr", 3)),
        ("s3://x/a.zarr:s3://x/b.zarr:0.5", ("s3://x/a.zarr", "s3://x/b.zarr", 0.5)),
    ],
)
def test_source_of_photos_names_flow_and_weight(text: str, expected: tuple[str, str | None, float]) -> None:
    source = PhotoSource.parse(text)
    assert (source.url, source.flows, source.weight) == expected


@pytest.mark.parametrize("text", ["", ":b.zarr", "a.zarr:b.zarr:c.zarr", "a.zarr:"])
def test_source_of_photos_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(SegmentationError, match="expected URL, URL:FLOWS"):
        PhotoSource.parse(text)


class Shifted:
    """An estimator that knows the shift of the enlarged frames."""

    name, precision = "shifted", "float32"

    def pair(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        assert max(first.shape) == 854
        return np.full((*first.shape[:2], 2), 7.0, np.float32)

    def stream(self, frames: object, pairs: object) -> None:
        raise AssertionError("pairs are estimated one by one")


def test_flow_of_enlarged_frames_is_in_pixels_of_the_small_ones() -> None:
    small = np.zeros((60, 122, 3), np.uint8)
    flow = estimate_as_video(Shifted(), small, small)  # type: ignore[arg-type]
    assert flow.shape == (60, 122, 2)
    assert np.allclose(flow, 1.0, atol=1e-6)


def test_verify_checks_estimated_flow(segmentation: Command, folder: Path) -> None:
    dis(segmentation, folder)
    assert not verify(str(folder / "flows.zarr"), Silent()).findings
    path = folder / "flows.zarr/flow/c/0/0/0/0/0"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    assert "other bytes than were written" in verify(str(folder / "flows.zarr"), Silent()).findings[0].problem


def test_raft_gives_a_pair_what_it_gives_a_video(weights: Path) -> None:
    raft = load_raft(str(weights), iterations=2)
    random = np.random.default_rng(0)
    first, second = random.integers(0, 255, (2, 128, 136, 3), np.uint8)
    assert np.allclose(raft.pair(first, second), raft(np.stack([first, second]))[0], atol=1e-4)
