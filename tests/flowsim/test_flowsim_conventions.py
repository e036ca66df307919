"""One test for each line of the CONVENTIONS block of flowsim."""

import math
import subprocess
import sys

import cv2
import numpy as np
import pytest

from flowsim import (
    MotionPrior,
    flow_to_rgb,
    inverse_depth_in_range,
    make_clip,
    sample_motion,
    separate_layers,
    simulate_flow,
)
from flowsim.camera import focal_length_px, pixel_axes
from flowsim.kernels.flow import plane_and_parallax
from flowsim.projection import for_normalized_depth
from tests.flowsim.flow_reference import camera_matrix, resolved_motion, rotation_matrix
from tests.flowsim.scenes import disk, motion, picture


def flow_of(normalized_inverse_depth, mask=None, **motion):
    """Return the flow of a photo under a resolved rigid motion, and its validity."""
    return simulate_flow(np.asarray(normalized_inverse_depth, np.float32), mask, resolved_motion(**motion))[:2]


def test_convention_image_is_channels_last_rgb_uint8():
    rgb = flow_to_rgb(np.array([[[1.0, 0.0], [0.0, 0.0]]], np.float32))
    assert rgb.shape == (1, 2, 3)
    assert rgb.dtype == np.uint8
    assert rgb[0, 0].tolist() == [255, 0, 0]  # to the right is red


def test_convention_flow_u_right_v_down_towards_the_next_frame():
    right, _ = flow_of(np.ones((5, 7)), translation=(0.1, 0.0, 0.0))
    down, _ = flow_of(np.ones((5, 7)), translation=(0.0, 0.1, 0.0))
    assert (right[..., 0] > 0).all()
    assert (right[..., 1] == 0).all()
    assert (down[..., 1] > 0).all()
    assert (down[..., 0] == 0).all()


def test_convention_camera_focal_length_from_horizontal_field_of_view_and_centre():
    assert focal_length_px(401, 90.0) == 401 / 2 / math.tan(math.radians(45))
    columns, rows = pixel_axes(300, 401)
    assert (len(columns), columns[0], columns[200]) == (401, -200, 0)
    assert (len(rows), rows[0], rows[299]) == (300, -149.5, 149.5)
    # Straight ahead is the integer centre of the middle pixel: only there a move forward changes nothing.
    flow, _ = flow_of(np.full((301, 401), 0.5), translation=(0.0, 0.0, -0.5))
    assert np.argwhere((flow == 0).all(-1)).tolist() == [[150, 200]]
    # A point of unit depth goes to the side by the focal length times its shift.
    flow, _ = flow_of(np.ones((3, 401)), fov_deg=90.0, translation=(0.1, 0.0, 0.0))
    np.testing.assert_allclose(flow[..., 0], 0.1 * 200.5, rtol=1e-6)


def test_convention_motion_moves_points_of_the_scene_by_rotation_vector_then_translation():
    rotation, translation = (0.02, -0.05, 0.03), (0.1, -0.05, 0.2)
    flow, _ = flow_of(np.full((21, 31), 0.5), far=4.0, fov_deg=70.0, rotation=rotation, translation=translation)
    K = camera_matrix(21, 31, 70.0)
    point = np.linalg.inv(K) @ [4, 17, 1] / 0.625
    there = K @ (rotation_matrix(np.array(rotation)) @ point + translation)
    np.testing.assert_allclose(flow[17, 4], there[:2] / there[2] - (4, 17), atol=1e-4)


def test_convention_motion_of_an_object_comes_before_the_cameras():
    everything = np.ones((11, 13), bool)
    turn, push = (0.0, 0.3, 0.0), (0.0, 0.0, 0.5)
    flow, _ = flow_of(np.full((11, 13), 0.5), everything, far=4.0, rotation=turn, object_translation=push)
    pushed_then_turned = rotation_matrix(np.array(turn)) @ [0, 0, 1 / 0.625 + 0.5]
    u = focal_length_px(13, 60.0) * pushed_then_turned[0] / pushed_then_turned[2]
    np.testing.assert_allclose(flow[5, 6], [u, 0], atol=1e-5)


def test_convention_inverse_depth_one_is_nearest_zero_is_the_farthest_of_the_range():
    normalized = np.array([[1.0, 0.5, 0.0]])
    in_range = inverse_depth_in_range(normalized, 10.0)
    np.testing.assert_allclose(in_range, [[1, 0.55, 0.1]], rtol=1e-12)
    flow, _ = flow_of(normalized, far=10.0, translation=(0.1, 0.0, 0.0))
    np.testing.assert_allclose(flow[..., 0], 0.1 * focal_length_px(3, 60.0) * in_range, rtol=1e-6)
    infinitely_far, _ = flow_of(normalized, far=1e30, translation=(0.1, 0.0, 0.0))
    assert abs(infinitely_far[0, 2, 0]) < 1e-25
    matrix = tuple(np.random.default_rng(0).normal(size=12))  # the simulation folds the map into the matrix
    for n, d in zip(normalized[0], in_range[0], strict=True):
        folded = plane_and_parallax(for_normalized_depth(matrix, 10.0), 3.0, -2.0, n)
        np.testing.assert_allclose(folded, plane_and_parallax(matrix, 3.0, -2.0, d), rtol=1e-12)


def test_convention_behind_the_camera_is_invalid_with_zero_flow():
    flow, valid = flow_of([[1.0, 0.5, 0.1]], translation=(0.3, 0.0, -1.5))
    assert valid.tolist() == [[False, True, True]]
    assert flow[0, 0].tolist() == [0, 0]
    assert np.isfinite(flow).all()


def test_convention_random_motion_depends_on_prior_seed_id_and_index_alone():
    prior = MotionPrior.preset("camera+object")
    arguments = [(seed, name, index) for seed in (0, 7) for name in ("a", "b") for index in (0, 1)]
    forwards = [sample_motion(prior, *each) for each in arguments]
    backwards = [sample_motion(prior, *each) for each in reversed(arguments)][::-1]
    assert forwards == backwards
    assert len({motion.to_vector().tobytes() for motion in forwards}) == len(arguments)
    # Another process, with another hash seed, draws the same motion.
    program = (
        "from flowsim import MotionPrior, sample_motion;"
        "print(repr(sample_motion(MotionPrior.preset('camera+object'), 7, 'b', 1).fov_deg))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert float(answer.stdout) == forwards[-1].fov_deg


def test_convention_frames_the_flow_is_the_map_that_renders_the_next_frame():
    image = picture(60, 80, 20.0)
    labels = (disk(60, 80, 30, 40, 12) > 127).astype(np.uint8)
    depth = np.where(labels == 1, np.float32(0.9), np.float32(0.2)).astype(np.float32)
    moved = motion(object_translation=(0.3, 0.0, 0.0), pivot=(0.0, 0.0, 1.0))
    clip = make_clip(image, separate_layers(image, depth, labels), [moved])
    u, v = clip.forward[0].flow[30, 40]
    assert (u > 3, v) == (True, 0)
    shifted = cv2.warpAffine(image, np.float32([[1, 0, u], [0, 1, v]]), (80, 60), flags=cv2.INTER_CUBIC)
    inside = cv2.erode((clip.labels[0] == 1).view(np.uint8), np.ones((7, 7), np.uint8)) > 0
    assert np.abs(shifted.astype(int) - clip.images[0])[inside].max() <= 2
    assert (clip.labels[0] == 1).sum() == pytest.approx((labels == 1).sum(), rel=0.05)
