"""Label images as masks, and objects and motions that are hard to render: each gives a sample or a listed failure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

import pipeline
from pipeline.checking.verify import verify
from pipeline.command.progress import Silent
from pipeline.dataset.samples import Sample
from pipeline.dataset.store import DatasetStore
from pipeline.making.config import RunConfig
from pipeline.making.run import run

SHAPE = (72, 96)


def photo(shape: tuple[int, int] = SHAPE) -> np.ndarray:
    random = np.random.default_rng(0)
    return cv2.GaussianBlur(random.integers(0, 255, (*shape, 3), np.uint8), (0, 0), 2)


def made(folder: Path, masks: Mapping[str, np.ndarray], **changes: object) -> tuple[DatasetStore, list[Sample]]:
    """Make pairs of one photo per mask; return the dataset and its usable samples."""
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for name, mask in masks.items():
        cv2.imwrite(str(folder / "images" / f"{name}.png"), photo(mask.shape[:2]))
        cv2.imwrite(str(folder / "masks" / f"{name}.png"), mask)
    output = str(folder / "made.zarr")
    settings: dict[str, object] = {"images": str(folder / "images"), "masks": str(folder / "masks"), "output": output}
    settings |= {"depth_model": "tiny-dpt", "max_side": 96, "workers": 0, "frames": 2, "max_failures": 9}
    settings |= {"objects": "labels", "motion": "camera+object"}
    run(RunConfig(**(settings | changes)))  # type: ignore[arg-type]
    assert not verify(output, Silent()).findings
    return DatasetStore.open(output), list(pipeline.open_dataset(output))


def blocks(*parts: tuple[int, slice, slice]) -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    for number, rows, columns in parts:
        labels[rows, columns] = number
    return labels


LEFT, RIGHT = (slice(20, 55), slice(10, 40)), (slice(15, 60), slice(55, 85))


def test_every_object_of_a_label_image_moves_on_its_own(tmp_path: Path) -> None:
    labels = blocks((3, *LEFT), (9, *RIGHT), (255, slice(0, 8), slice(0, 96)))
    store, (sample,) = made(tmp_path, {"two": labels})
    expected = np.where(labels == 255, 0, np.searchsorted([0, 3, 9], labels.clip(0, 9)))
    assert np.array_equal(sample.labels, expected)
    assert np.array_equal(sample.mask, expected > 0)
    assert store.layout.objects == 8
    assert store.attributes["settings"]["objects"] == "labels"
    means = [np.nanmean(sample.flow_px[0][sample.labels == number], 0) for number in (1, 2)]
    assert np.hypot(*(means[0] - means[1])) > 0.3


def test_a_mask_that_is_no_label_image_is_a_listed_failure(tmp_path: Path) -> None:
    grey = np.tile(np.linspace(0, 199, 96).astype(np.uint8), (72, 1))
    soft = np.where(blocks((1, *LEFT)), 255, 0).astype(np.uint8)
    masks = {"grey": grey, "hard": soft, "good": blocks((1, *LEFT)), "soft": cv2.GaussianBlur(soft, (0, 0), 1.5)}
    store, samples = made(tmp_path, masks)
    assert [sample.id for sample in samples] == ["good"]
    failures = {failure.id: failure for failure in store.failures()}
    assert {name: failure.reason for name, failure in failures.items()} == {
        "grey": "mask_not_labels",
        "hard": "mask_blank",
        "soft": "mask_not_labels",
    }
    assert "--objects mask or components" in failures["hard"].message


HARD = {
    "few-pixels": blocks((1, slice(30, 31), slice(40, 42)), (2, slice(50, 52), slice(70, 71)), (3, *LEFT)),
    "only-one-pixel": blocks((1, slice(30, 31), slice(40, 41))),
    "touching-every-border": blocks((1, slice(0, 40), slice(0, 96)), (2, slice(50, 72), slice(20, 96))),
    "corners": blocks((1, slice(0, 5), slice(0, 5)), (2, slice(67, 72), slice(91, 96))),
    "covering-99-percent": blocks((1, slice(None), slice(None)), (0, slice(0, 8), slice(0, 8))),
    "one-pixel-of-background": blocks((1, slice(None), slice(None)), (0, slice(0, 1), slice(0, 1))),
    "smallest-photo": np.pad(np.ones((6, 6), np.uint8), 5),
    "narrow-photo": np.pad(np.ones((6, 86), np.uint8), 5),
}


@pytest.fixture(scope="module")
def hard(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sample]:
    _, samples = made(tmp_path_factory.mktemp("hard"), HARD, frames=3)
    return {sample.id: sample for sample in samples}


@pytest.mark.parametrize("name", HARD)
def test_hard_objects_give_complete_clips(hard: dict[str, Sample], name: str) -> None:
    sample = hard[name]
    assert np.array_equal(sample.labels, HARD[name])
    frames = sample.frames
    assert frames is not None
    assert frames.images.shape == (1, 2, *HARD[name].shape, 3)
    first_row, row, first_column, column = frames.windows[0]
    assert 0 <= first_row < row <= HARD[name].shape[0]
    assert 0 <= first_column < column <= HARD[name].shape[1]
    flow = sample.flow_px[0]
    assert np.isfinite(flow).all(-1).mean() > 0.9
    assert np.nanmax(np.abs(flow)) < max(HARD[name].shape)
    rows, columns = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    warped = cv2.remap(frames.images[0, 0], columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_CUBIC)
    is_visible = (frames.occlusion[0, 0] == 0) & np.isfinite(flow).all(-1)
    assert is_visible.mean() > 0.3
    assert np.median(np.abs(warped.astype(int) - sample.image)[is_visible]) <= 3


def test_a_motion_that_throws_everything_out_of_the_picture_is_marked(tmp_path: Path) -> None:
    motion = tmp_path / "far.toml"
    motion.write_text(
        'name = "far"\n[[shots]]\nmodel = "rigid"\nmagnitude = [1.5]\nlargest = 3.0\nfov_deg = [20.0]\nfar = [1.001]\n'
        "translation = [[1.0], [0.0], [0.0]]\n"
    )
    _, (sample,) = made(tmp_path, {"one": blocks((1, *LEFT))}, motion=str(motion))
    frames = sample.frames
    assert frames is not None
    assert np.nanmedian(sample.flow_px[0, ..., 0]) > 96
    assert (frames.occlusion[0, 0] == 2).all()  # every pixel leaves the picture
    assert (frames.labels[0, 0] == 255).all()  # so the next frame shows nothing of the photo
    first_row, row, first_column, column = frames.windows[0]
    assert (row - first_row + 1) >= 0.6 * 72
    assert (column - first_column + 1) >= 0.6 * 96


def test_a_photo_below_16_px_is_a_listed_failure(tmp_path: Path) -> None:
    store, samples = made(tmp_path, {"tiny": np.pad(np.ones((5, 30), np.uint8), 5), "good": blocks((1, *LEFT))})
    assert [sample.id for sample in samples] == ["good"]
    (failure,) = store.failures()
    assert failure.reason == "too_small"
    assert "expected at least 16 px on either side" in failure.message
