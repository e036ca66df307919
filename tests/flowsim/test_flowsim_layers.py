"""A photo taken apart: layers without halos that give the photo again."""

import numpy as np
import pytest

from flowsim import FlowsimError
from flowsim.completion import complete_by_inpainting, complete_by_reflection, complete_smoothly
from flowsim.layers import separate_layers
from flowsim.rendering import render_view
from tests.flowsim.scenes import disk, motion, picture, slope

RED = np.array([230.0, 20.0, 20.0], np.float32)


def red_disk(height=90, width=120):
    """A red disk with a soft border on grey-green texture; also the texture alone and the true opacity."""
    background = picture(height, width, 10.0).astype(np.float32)
    background[..., 0] *= 0.3
    opacity = disk(height, width, 45, 60, 20.3)
    alpha = opacity[..., None] / np.float32(255)
    return np.rint(alpha * RED + (1 - alpha) * background).astype(np.uint8), background, opacity


@pytest.mark.parametrize("complete", [complete_by_reflection, complete_by_inpainting])
@pytest.mark.parametrize("has_grey_border", [True, False], ids=["grey", "binary"])
def test_neither_layer_keeps_a_halo_of_the_other(complete, has_grey_border):
    image, _background, opacity = red_disk()
    labels = (opacity > 127).astype(np.uint8)
    mask = opacity if has_grey_border else labels * np.uint8(255)
    photo = separate_layers(image, slope(90, 120), labels, mask, complete)
    plate, objects = photo.layers
    assert plate.colors[..., 0].max() < 130  # no red on the background plate
    used = objects.opacity > 0.1
    assert np.abs(objects.colors[used] - RED).max() < 60  # no grey-green in the object
    error = np.abs(objects.opacity - opacity / 255)
    assert error.max() < 0.4
    assert error.mean() < 0.005


@pytest.mark.parametrize("seed", range(3))
def test_layers_laid_over_each_other_give_the_photo(seed):
    image = picture(70, 90, 3.0, seed)
    labels = np.zeros((70, 90), np.uint8)
    labels[10:40, 5:30], labels[25:60, 50:80] = 1, 3
    photo = separate_layers(image, slope(70, 90), labels)
    total = photo.layers[0].colors
    for layer in photo.layers[1:]:
        alpha = layer.opacity[..., None]
        total = alpha * layer.colors + (1 - alpha) * total
    assert np.array_equal(np.rint(total).astype(np.uint8), image)


def soft_strips(gap_px, height=50, width=80):
    """Two strips with grey borders, so many pixels apart, over texture; also labels and grey mask."""
    columns = np.arange(width) + np.zeros((height, 1))
    left, right = 40.3 - gap_px / 2, 40.3 + gap_px / 2
    first, second = np.clip((left - columns) / 3 + 0.5, 0, 1), np.clip((columns - right) / 3 + 0.5, 0, 1)
    alphas = [part * (np.abs(columns - 40) < 30) * (np.arange(height)[:, None] % 40 > 8) for part in (first, second)]
    image = picture(height, width, 4.0).astype(np.float64)
    for alpha, color in zip(alphas, ((230, 30, 30), (30, 40, 220)), strict=True):
        image = alpha[..., None] * color + (1 - alpha[..., None]) * image
    grey = np.rint(255 * np.clip(sum(alphas), 0, 1)).astype(np.uint8)
    labels = np.where(grey > 127, 1 + (alphas[1] > alphas[0]), 0).astype(np.uint8)
    return np.rint(image).astype(np.uint8), labels, grey


@pytest.mark.parametrize("gap_px", [1, 2, 3, 4])
@pytest.mark.parametrize("nearer", [1, 2])
def test_without_motion_two_objects_with_soft_borders_give_the_photo(gap_px, nearer):
    image, labels, grey = soft_strips(gap_px)
    depth = np.where(labels == nearer, 0.9, np.where(labels > 0, 0.6, 0.2)).astype(np.float32)
    photo = separate_layers(image, depth, labels, grey)
    background = labels == 0
    assert ((photo.layers[1].opacity > 0) & (photo.layers[2].opacity > 0) & background).sum() > 10
    frame = render_view(photo, [motion(), motion()])
    assert np.array_equal(frame.image, image)
    assert np.array_equal(frame.labels, labels)


def test_objects_lie_in_the_order_of_their_depths():
    labels = np.zeros((40, 60), np.uint8)
    labels[5:15, 5:15], labels[20:30, 30:40] = 1, 2
    depth = np.where(labels == 1, 0.9, np.where(labels == 2, 0.5, 0.1)).astype(np.float32)
    assert [layer.label for layer in separate_layers(picture(40, 60, 5.0), depth, labels).layers] == [0, 2, 1]


def test_depth_is_sharp_at_the_borders_of_objects():
    height, width = 120, 160
    opacity = disk(height, width, 60, 80, 30)
    labels = (opacity > 127).astype(np.uint8)
    distance = np.hypot(*(np.mgrid[:height, :width] - np.array([60, 80])[:, None, None]))
    blurred = (0.2 + 0.6 / (1 + np.exp((distance - 30) / 0.7))).astype(np.float32)
    sharp = separate_layers(picture(height, width, 9.0), blurred, labels, opacity).inverse_depth
    assert np.abs(sharp - np.where(labels == 1, 0.8, 0.2)).max() < 0.05
    assert np.abs(blurred - np.where(labels == 1, 0.8, 0.2)).max() > 0.25


def test_objects_of_a_few_pixels_and_one_that_covers_nearly_everything_are_layers():
    image, depth = picture(40, 50, 6.0), slope(40, 50)
    labels = np.zeros((40, 50), np.uint8)
    labels[3, 3] = 1
    labels[20:22, 0:2] = 2
    tiny = separate_layers(image, depth, labels)
    assert len(tiny.layers) == 3
    labels = np.ones((40, 50), np.uint8)
    labels[0, :20] = 0
    huge = separate_layers(image, depth, labels)
    for photo in (tiny, huge):
        for layer in photo.layers:
            assert np.isfinite(layer.colors).all()
            assert np.isfinite(layer.inverse_depth).all()
            assert layer.inverse_depth.min() >= 0
            assert layer.inverse_depth.max() <= 1


def test_a_photo_without_background_and_wrong_types_are_refused():
    image, depth = picture(20, 30, 5.0), slope(20, 30)
    with pytest.raises(FlowsimError, match="cover the whole picture"):
        separate_layers(image, depth, np.ones((20, 30), np.uint8))
    with pytest.raises(FlowsimError, match=r"expected uint8 \(h,w,3\)"):
        separate_layers(image, depth.astype(np.float64), np.zeros((20, 30), np.uint8))


def test_reflection_continues_a_periodic_texture_without_a_seam():
    columns = np.arange(80, dtype=np.float32)
    stripes = np.repeat(np.cos(columns * np.pi / 4)[None, :, None], 30, 0)
    known = np.ones((30, 80), bool)
    known[:, 33:48] = False  # mirror lines through 32 and 48, where the cosine is even
    completed = complete_by_reflection(np.where(known[..., None], stripes, 0).astype(np.float32), known)
    assert np.allclose(completed, stripes, atol=1e-5)


def test_completion_keeps_what_is_known_and_stays_within_its_range():
    random = np.random.default_rng(0)
    values = random.random((33, 47), np.float32)
    known = random.random((33, 47)) > 0.7
    known[10:25, 10:30] = False
    smooth = complete_smoothly(values, known)
    mirrored = complete_by_reflection(values[..., None], known)[..., 0]
    for completed in (smooth, mirrored):
        assert np.array_equal(completed[known], values[known])
        assert completed.min() >= values[known].min()
        assert completed.max() <= values[known].max()


def test_objects_that_touch_leave_nothing_of_each_other_on_the_background():
    image = np.full((60, 80, 3), (20, 120, 40), np.uint8)
    labels = np.zeros((60, 80), np.uint8)
    labels[15:45, 15:40], labels[15:45, 40:65] = 1, 2
    image[labels == 1], image[labels == 2] = (230, 20, 20), (20, 20, 230)
    plate = separate_layers(image, slope(60, 80), labels).layers[0].colors
    assert np.abs(plate - (20, 120, 40)).max() < 1


def test_a_thin_object_with_dark_and_bright_sides_leaves_nothing_on_the_background():
    image = np.clip(128 + (picture(80, 120, 3.0).astype(int) - 128) // 6, 0, 255).astype(np.uint8)
    labels = np.zeros((80, 120), np.uint8)
    labels[10:70, 56:63] = 1
    image[10:70, 56:58], image[10:70, 58:63] = 20, 235
    photo = separate_layers(image, slope(80, 120), labels)
    assert np.abs(photo.layers[0].colors - 128).max() < 45
    assert np.array_equal(render_view(photo, [motion()]).image, image)


def test_grey_far_from_an_object_makes_nothing_of_the_background_its_own():
    image, labels = picture(60, 80, 5.0), np.zeros((60, 80), np.uint8)
    labels[10:50, 40:70] = 1
    grey = labels * np.uint8(255)
    grey[:, 36:40] = 100
    opacity = separate_layers(image, slope(60, 80), labels, grey).layers[1].opacity
    assert opacity[:, 38:40].any()
    assert not opacity[:, :38].any()
