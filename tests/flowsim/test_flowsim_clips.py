"""Clips: their first step is the drawn motion, later steps vary smoothly, and flow joins neighbouring frames."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from flowsim import FlowsimError, MotionPrior, paths, sample_motion, simulate_flow
from flowsim.clips import make_clip
from flowsim.layers import separate_layers
from flowsim.objects import sample_motions
from flowsim.paths import motion_paths
from flowsim.views import NO_LAYER
from tests.flowsim.scenes import disk, motion, picture, slope

STEP = motion(
    rotation=(0.002, 0.006, 0.004),
    translation=(0.02, -0.01, -0.05),
    object_translation=(0.05, 0.02, 0.0),
    object_rotation=(0.0, 0.0, 0.03),
    object_deformation=0.001,
    wave_seed=11,
)


def layered(height=110, width=150):
    image = picture(height, width, 14.0)
    mask = disk(height, width, 60, 75, 26)
    labels = (mask > 127).astype(np.uint8)
    depth = np.where(labels == 1, np.float32(0.8), slope(height, width)).astype(np.float32)
    return image, separate_layers(image, depth, labels, mask)


def test_a_pair_is_the_first_step_of_every_clip():
    image, photo = layered()
    pair, clip = make_clip(image, photo, [STEP]), make_clip(image, photo, [STEP], frames=4)
    assert clip.images.shape == (3, 110, 150, 3)
    assert np.array_equal(pair.images[0], clip.images[0])
    assert np.array_equal(pair.forward[0].flow, clip.forward[0].flow)
    assert np.array_equal(pair.backward[0].fate, clip.backward[0].fate)
    assert clip.motions == (STEP,)


def test_an_unresolved_motion_gets_the_size_that_simulate_flow_gives_it():
    image, photo = layered()
    drawn = sample_motion(MotionPrior.preset("davis"), 0, "photo", 3)
    clip = make_clip(image, photo, [drawn])
    expected = simulate_flow(photo.inverse_depth, photo.labels == 1, drawn).motion
    assert clip.motions[0].scale == expected.scale
    assert clip.motions[0].blur == 0


def test_flow_joins_every_frame_with_the_next_one():
    image, photo = layered()
    clip = make_clip(image, photo, [STEP], frames=5)
    frames = [image, *clip.images]
    rows, columns = np.mgrid[:110, :150].astype(np.float32)
    for before, after, field in zip(frames, frames[1:], clip.forward, strict=False):
        warped = cv2.remap(after, columns + field.flow[..., 0], rows + field.flow[..., 1], cv2.INTER_CUBIC)
        difference = np.abs(warped.astype(int) - before)[(field.fate == 0) & field.valid]
        assert np.median(difference) <= 1
        assert np.percentile(difference, 90) <= 6
    for before, after, field in zip(frames, frames[1:], clip.backward, strict=False):
        warped = cv2.remap(before, columns + field.flow[..., 0], rows + field.flow[..., 1], cv2.INTER_CUBIC)
        assert np.median(np.abs(warped.astype(int) - after)[(field.fate == 0) & field.valid]) <= 1


def test_the_window_shows_the_photo_in_all_frames():
    image, photo = layered()
    clip = make_clip(image, photo, [STEP], frames=5)
    rows, columns = clip.window
    assert (clip.labels == NO_LAYER).any()
    assert not (clip.labels[:, rows, columns] == NO_LAYER).any()


def test_a_path_without_variation_repeats_the_step(monkeypatch):
    for part in ("_CAMERA", "_OBJECT"):
        monkeypatch.setattr(paths, part, getattr(paths, part)._replace(spread=0.0))
    moves = motion_paths([STEP], 6)
    turn = cv2.Rodrigues(np.array(STEP.rotation))[0]
    total, shift = np.eye(3), np.zeros(3)
    for (moved,) in moves:
        total, shift = turn @ total, turn @ shift + STEP.translation
        assert np.allclose(cv2.Rodrigues(total)[0].ravel(), moved.rotation, atol=1e-9)
        assert np.allclose(shift, moved.translation, atol=1e-9)
    assert moves[4][0].object_deformation == pytest.approx(5 * STEP.object_deformation)


def test_later_steps_vary_smoothly_and_depend_on_the_motion_alone():
    path = motion_paths([STEP], 16)
    assert path == motion_paths([STEP], 16)
    assert path[:3] == motion_paths([STEP], 4)
    assert path[0] == (STEP,)
    steps = np.diff([(0.0, 0.0, 0.0), *(moved.translation for (moved,) in path)], axis=0)
    change = np.linalg.norm(np.diff(steps, axis=0), axis=1) / np.linalg.norm(STEP.translation)
    assert 0.02 < change.mean() < 0.8


@pytest.mark.parametrize(("name", "part"), [("translation", paths._CAMERA), ("object_translation", paths._OBJECT)])
def test_steps_change_as_much_as_the_fitted_process_does(name, part):
    # without turning, each step adds its velocity: E[(e_15 - e_14)^2] and E[e_15^2] of the process that starts from 0
    first = replace(STEP, rotation=(0.0, 0.0, 0.0), object_rotation=(0.0, 0.0, 0.0))
    errors = []
    for seed in range(400):
        path = motion_paths([replace(first, wave_seed=seed)], 16)
        places = np.array([(0.0, 0.0, 0.0), *(getattr(moved, name) for (moved,) in path)])
        velocity = np.diff(places, axis=0)
        errors.append((velocity - velocity[0]) / np.linalg.norm(velocity[0]))
    error = np.array(errors)
    r, s = part
    variance = s * s * (1 - r ** (2 * np.arange(15)))
    assert np.allclose((error**2).mean((0, 2)), variance, rtol=0.15, atol=1e-9)
    change = (1 - r) ** 2 * variance[13] + s * s * (1 - r * r)
    assert np.mean((error[:, 14] - error[:, 13]) ** 2) == pytest.approx(change, rel=0.15)


def test_every_object_draws_its_own_motion_under_one_camera():
    prior = MotionPrior.preset("davis")
    motions = sample_motions(prior, 5, "photo", 0, 3)
    assert motions[0] == sample_motion(prior, 5, "photo", 0)
    assert len({m.object_translation for m in motions}) == 3
    assert len({(m.rotation, m.translation, m.fov_deg, m.far, m.shot, m.magnitude) for m in motions}) == 1
    assert sample_motions(prior, 5, "photo", 0, 0) == motions[:1]
    with pytest.raises(FlowsimError, match="objects is 255"):
        sample_motions(prior, 5, "photo", 0, 255)


def test_two_objects_of_one_clip_move_apart():
    labels = np.zeros((90, 130), np.uint8)
    labels[20:70, 15:50], labels[20:70, 80:115] = 1, 2
    depth = np.where(labels > 0, np.float32(0.7), slope(90, 130)).astype(np.float32)
    image = picture(90, 130, 8.0)
    photo = separate_layers(image, depth, labels)
    clip = make_clip(image, photo, sample_motions(MotionPrior.preset("camera+object"), 1, "two", 0, 2))
    flow = clip.forward[0].flow
    means = [flow[labels == number].mean(0) for number in (1, 2)]
    assert np.hypot(*(means[0] - means[1])) > 0.5
    reach = np.percentile(np.hypot(flow[..., 0], flow[..., 1]), clip.motions[0].percentile)
    assert reach <= 1.1 * clip.motions[0].magnitude * 130


@pytest.mark.parametrize("frames", [1, 17])
def test_a_clip_has_2_to_16_frames(frames):
    image, photo = layered()
    with pytest.raises(FlowsimError, match=f"frames is {frames}, expected 2 to 16"):
        make_clip(image, photo, [STEP], frames=frames)
