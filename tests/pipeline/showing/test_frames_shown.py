"""Pairs and clips in `pipeline preview`, `report` and `status`: pictures show the stored frames, fates and errors."""

from __future__ import annotations

import io
import re
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pipeline as package
from pipeline.dataset.store import DatasetStore
from pipeline.showing.frame_pictures import (
    HIDDEN,
    LEAVING,
    NOT_COMPARED,
    OVERLAY,
    ShownClip,
    error_picture,
    read_clips,
    warping_error,
)
from pipeline.showing.frame_preview import ANIMATION_TILE
from pipeline.showing.frame_report import measure_clip
from pipeline.showing.report_html import image_tag
from pipeline.showing.sheets import GAP, HEADER, LABEL, TILE, scaled_to
from tests.conftest import draw_duts
from tests.pipeline.conftest import Command
from tests.pipeline.drawn_dataset import make_dataset

FRAMES = 3


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> DatasetStore:
    """Return clips of three frames of two photos."""
    folder = tmp_path_factory.mktemp("clips")
    root, output = draw_duts(folder / "DUTS", 2), str(folder / "clips.zarr")
    settings = {"depth_model": "tiny-dpt", "max_side": 96, "workers": 0, "motion": "camera+object", "frames": FRAMES}
    package.run(package.RunConfig(input=str(root), output=output, **settings))  # type: ignore[arg-type]
    return DatasetStore.open(output)


def shifted_clip() -> ShownClip:
    """Return a noisy photo that moves by 3 px to the right and, in the next frame, is 5 levels brighter."""
    photo = np.random.default_rng(3).integers(0, 250, (12, 20, 3)).astype(np.uint8)
    after = np.roll(photo, 3, axis=1) + np.uint8(5)
    flow = np.zeros((12, 20, 2), np.float32)
    flow[..., 0] = 3
    occlusion = np.zeros((12, 20), np.uint8)
    occlusion[:, -3:] = LEAVING
    occlusion[4, 4] = HIDDEN
    uncovered = np.zeros((12, 20), bool)
    uncovered[:, :3] = True
    return ShownClip("moved", np.stack([photo, after]), flow, occlusion, uncovered, (slice(0, 12), slice(3, 20)))


def test_the_warping_error_is_the_difference_along_the_flow_on_visible_pixels() -> None:
    clip = shifted_clip()
    clip.flow_px[7, 7] = np.nan
    error = warping_error(clip)
    is_compared = clip.occlusion == 0
    is_compared[7, 7] = False
    np.testing.assert_allclose(error[is_compared], 5, atol=1e-4)
    assert np.isnan(error[~is_compared]).all()
    picture = error_picture(error)
    assert (picture[~is_compared] == NOT_COMPARED).all()
    assert len(np.unique(picture[is_compared], axis=0)) == 1
    low, half, high, beyond = (error_picture(np.full((1, 1), level, np.float32)).sum() for level in (0, 10, 20, 200))
    assert low < half < high == beyond


def test_the_overlay_tints_hidden_leaving_and_uncovered_pixels_and_leaves_the_others_grey() -> None:
    clip = shifted_clip()
    overlay = clip.occlusion_picture().astype(int)
    for where, name in (((4, 4), "hidden"), ((0, 19), "leaving"), ((0, 0), "uncovered")):
        assert overlay[where].argmax() == np.argmax(OVERLAY[name]), name
    plain = (clip.occlusion == 0) & ~clip.uncovered
    grey = np.rint(clip.images.mean(axis=(0, -1)))
    assert (overlay[plain] == grey[plain][:, None]).all()


def test_the_sheet_shows_photo_and_cut_next_frame_and_occlusion(
    clips: DatasetStore, tmp_path: Path, pipeline: Command
) -> None:
    path = tmp_path / "sheet.png"
    assert pipeline("preview", clips.name, "--output", path, "--rows", 1).returncode == 0
    sheet = np.asarray(Image.open(path))
    (clip,) = read_clips(clips, 0)
    wanted = {0: clip.images[0], 1: clip.images[1][clip.window], 3: clip.occlusion_picture()}
    for column, pixels in wanted.items():
        tile = np.asarray(scaled_to(pixels, TILE))
        left = GAP + column * (TILE + GAP) + (TILE - tile.shape[1]) // 2
        top = HEADER + LABEL
        np.testing.assert_array_equal(sheet[top : top + tile.shape[0], left : left + tile.shape[1]], tile)


@pytest.mark.parametrize("ending", [".webp", ".gif"])
def test_an_animation_shows_all_frames_in_order_twice_a_second(
    clips: DatasetStore, tmp_path: Path, pipeline: Command, ending: str
) -> None:
    path = tmp_path / f"clips{ending}"
    assert pipeline("preview", clips.name, "--output", path).returncode == 0
    top = HEADER + LABEL
    with Image.open(path) as animation:
        assert animation.n_frames == FRAMES
        for number in range(FRAMES):
            animation.seek(number)
            drawn = np.asarray(animation.convert("RGB")).astype(int)
            assert animation.info["duration"] == 500
            for place in range(2):
                (clip,) = read_clips(clips, place)
                tiles = [np.asarray(scaled_to(one[clip.window], ANIMATION_TILE)).astype(int) for one in clip.images]
                height, width = tiles[0].shape[:2]
                left = GAP + place * (ANIMATION_TILE + GAP) + (ANIMATION_TILE - width) // 2
                shown = drawn[top : top + height, left : left + width]
                assert np.argmin([np.abs(shown - tile).mean() for tile in tiles]) == number


@pytest.mark.parametrize("name", ["clips.jpg", "clips", "clips.mp4"])
def test_another_ending_is_refused_with_those_that_fit(
    clips: DatasetStore, tmp_path: Path, pipeline: Command, name: str
) -> None:
    done = pipeline("preview", clips.name, "--output", tmp_path / name)
    assert done.returncode != 0
    assert "ends in .png, .webp or .gif" in done.said
    assert not (tmp_path / name).exists()


def test_single_photos_are_not_animated(tmp_path: Path, pipeline: Command) -> None:
    store = make_dataset(str(tmp_path / "photos.zarr"))
    done = pipeline("preview", store.name, "--output", tmp_path / "photos.webp")
    assert done.returncode != 0
    assert "single photos" in done.said
    assert "ends in .png" in done.said


def test_status_says_what_the_frames_are(clips: DatasetStore, tmp_path: Path, pipeline: Command) -> None:
    assert "clips of 3 frames" in pipeline("status", clips.name).stdout
    photos = make_dataset(str(tmp_path / "photos.zarr"))
    assert "frames" not in pipeline("status", photos.name).stdout


def test_a_clip_is_measured_on_visible_pixels_and_in_shares_of_the_picture() -> None:
    measured = measure_clip(shifted_clip())
    assert measured["median"] == pytest.approx(5)
    assert measured["high"] == pytest.approx(5)
    assert measured["hidden"] == pytest.approx(100 / 240)
    assert measured["leaving"] == measured["uncovered"] == pytest.approx(15)
    assert measured["window"] == pytest.approx(85)


def test_the_report_embeds_animations_and_tells_the_errors(
    clips: DatasetStore, tmp_path: Path, pipeline: Command
) -> None:
    assert pipeline("report", clips.name, "--output", tmp_path / "report.html").returncode == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<h2>Clips of 3 frames</h2>" in page
    sources = re.findall(r'src="([^"]+)"', page)
    assert all(source.startswith("data:image/") for source in sources)
    animations = [source.partition(",")[2] for source in sources if source.startswith("data:image/webp")]
    stored = [clip for row in range(2) for clip in read_clips(clips, row)]
    assert len(animations) == len(stored)
    for source, clip in zip(animations, stored, strict=True):
        with Image.open(io.BytesIO(b64decode(source))) as animation:
            assert animation.n_frames == FRAMES
            for number in range(FRAMES):
                animation.seek(number)
                drawn = np.asarray(animation.convert("RGB")).astype(int)
                cut = [one[clip.window].astype(int) for one in clip.images]
                assert np.argmin([np.abs(drawn - one).mean() for one in cut]) == number
    for clip in stored:
        assert image_tag(clip.occlusion_picture(), f"occlusion of {clip.id}") in page
        assert image_tag(error_picture(warping_error(clip)), f"warping error of {clip.id}") in page
    medians = [np.nanmedian(warping_error(clip)) for clip in stored]
    assert f"<h3>Median error</h3><span>{np.median(medians):.3g} levels</span>" in page


def test_the_report_of_single_photos_has_no_section_on_frames(tmp_path: Path, pipeline: Command) -> None:
    store = make_dataset(str(tmp_path / "photos.zarr"))
    assert pipeline("report", store.name, "--output", tmp_path / "report.html").returncode == 0
    assert "warping error" not in (tmp_path / "report.html").read_text(encoding="utf-8")
