"""The geometry of `simulate_flow`: against slow references, and its invariances."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsim import inverse_depth_in_range, simulate_flow
from flowsim.camera import focal_length_px, pixel_axes
from flowsim.kernels.flow import fill_flow, plane_and_parallax
from tests.flowsim.flow_reference import STILL, camera_matrix, flow_of_photo, resolved_motion, rotation_matrix

few = settings(max_examples=25, deadline=None)
vectors = st.tuples(*[st.floats(-1, 1)] * 3)
sizes = st.tuples(st.integers(1, 17), st.integers(1, 19))


def depth_of(height, width, seed=0):
    """Return normalised inverse depth; with the usual `far` of 100 it stands for depths of 1 to 100."""
    return np.random.default_rng(seed).random((height, width), np.float32)


def in_range(normalized, far=100.0):
    return inverse_depth_in_range(normalized.astype(np.float64), far)


def times(vector, factor):
    return tuple(factor * entry for entry in vector)


@pytest.mark.parametrize(
    ("fov_deg", "rotation", "translation"),
    [
        (60.0, (0.0, 0.0, 0.0), (0.3, -0.1, 0.0)),
        (60.0, (0.05, -0.2, 0.1), (0.0, 0.0, 0.0)),
        (40.0, (0.02, 0.1, -0.05), (0.1, 0.05, 0.3)),
        (90.0, (-0.1, 0.15, 0.3), (0.2, 0.1, -0.4)),
    ],
)
def test_agrees_with_unproject_transform_project_in_float64(fov_deg, rotation, translation):
    depth = depth_of(45, 401)
    motion = resolved_motion(fov_deg=fov_deg, rotation=rotation, translation=translation)
    flow, valid, _ = simulate_flow(depth, None, motion)
    expected, there = flow_of_photo(in_range(depth), fov_deg, np.array(rotation), np.array(translation))
    assert (valid == (there > 0)).all()
    held = np.abs(expected).max(-1) <= 200
    assert held.mean() > 0.9
    assert np.abs(expected[held]).max() > 20
    np.testing.assert_allclose(flow[held], expected[held], atol=1e-3)


def test_object_moves_on_its_own_before_the_camera_does():
    depth, random = depth_of(20, 399), np.random.default_rng(1)
    mask = random.random((20, 399)) > 0.5
    mask[8:12] = np.arange(399) // 21 % 2 == 1  # runs of one label that are longer than a block of 16
    rotation, translation, own_rotation, own_translation = random.normal(size=(4, 3)) * 0.07
    motion = resolved_motion(
        rotation=tuple(rotation),
        translation=tuple(translation),
        object_rotation=tuple(own_rotation),
        object_translation=tuple(own_translation),
    )
    flow = simulate_flow(depth, mask, motion).flow
    expected, _ = flow_of_photo(in_range(depth), 60.0, rotation, translation, mask, own_rotation, own_translation)
    np.testing.assert_allclose(flow, expected, atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize("distance", [1.0, 7.5, 100.0])
def test_a_plane_in_front_of_the_camera_moves_by_its_homography(distance):
    height, width, far = 37, 53, 100.0
    rotation, translation = (0.04, -0.1, 0.05), (0.2, -0.1, 0.15)
    normalized = (1 / distance - 1 / far) / (1 - 1 / far)
    motion = resolved_motion(rotation=rotation, translation=translation, far=far)
    flow = simulate_flow(np.full((height, width), normalized, np.float32), None, motion).flow
    # X' = R X + t with Z = distance on the plane: H = K (R + t (0, 0, 1) / distance) K^-1
    K, R = camera_matrix(height, width, 60.0), rotation_matrix(np.array(rotation))
    homography = K @ (R + np.outer(translation, (0, 0, 1)) / distance) @ np.linalg.inv(K)
    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float64)
    targets = cv2.perspectiveTransform(pixels, homography)
    np.testing.assert_allclose(flow, targets - pixels, atol=1e-3)


@few
@given(size=sizes, fov_deg=st.floats(5, 170), seed=st.integers(0, 99))
def test_no_motion_gives_exactly_no_flow(size, fov_deg, seed):
    flow, valid, _ = simulate_flow(depth_of(*size, seed), None, resolved_motion(fov_deg=fov_deg))
    assert (flow == 0).all()
    assert valid.all()


@few
@given(tx=st.floats(-2, 2), size=sizes, fov_deg=st.floats(20, 120))
def test_sideways_translation_gives_u_equal_f_tx_d(tx, size, fov_deg):
    depth = depth_of(*size)
    flow = simulate_flow(depth, None, resolved_motion(fov_deg=fov_deg, translation=(tx, 0.0, 0.0))).flow
    focal = camera_matrix(*size, fov_deg)[0, 0]
    np.testing.assert_allclose(flow[..., 0], focal * tx * in_range(depth), atol=1e-5, rtol=1e-5)
    assert (flow[..., 1] == 0).all()


@few
@given(rotation=vectors, size=sizes)
def test_pure_rotation_does_not_depend_on_depth(rotation, size):
    motion = resolved_motion(rotation=times(rotation, 0.2))
    near, far = (simulate_flow(depth_of(*size, seed), None, motion).flow for seed in (1, 2))
    assert np.array_equal(near, far)


@few
@given(tz=st.floats(0.01, 0.9), size=st.tuples(st.integers(2, 17), st.integers(2, 19)))
def test_moving_forward_expands_from_the_principal_point(tz, size):
    height, width = size
    flow = simulate_flow(depth_of(*size), None, resolved_motion(translation=(0.0, 0.0, -tz))).flow
    columns, rows = np.meshgrid(np.arange(width) - (width - 1) / 2, np.arange(height) - (height - 1) / 2)
    outwards = flow[..., 0] * columns + flow[..., 1] * rows
    across = flow[..., 0] * rows - flow[..., 1] * columns
    off_centre = np.abs(columns) + np.abs(rows) > 0
    assert (outwards[off_centre] > 0).all()
    assert np.abs(across).max() <= 1e-4 * max(1.0, float(outwards.max()))
    assert (flow[~off_centre] == 0).all()


@few
@given(rotation=vectors, translation=vectors, scale=st.floats(1, 50))
def test_scaling_depth_and_translation_together_changes_nothing(rotation, translation, scale):
    depth = depth_of(9, 13)
    # The same scene in units that are `scale` times as small: every depth and the translation grow.
    far = 100.0 * scale
    scaled_depth = ((in_range(depth) / scale - 1 / far) / (1 - 1 / far)).astype(np.float32)
    flow, scaled = (
        simulate_flow(
            normalized,
            None,
            resolved_motion(far=farthest, rotation=times(rotation, 0.1), translation=times(translation, 0.2 * unit)),
        ).flow
        for normalized, farthest, unit in ((depth, 100.0, 1.0), (scaled_depth.clip(0, 1), far, scale))
    )
    np.testing.assert_allclose(flow, scaled, atol=1e-4, rtol=1e-4)


@few
@given(rotation=vectors, translation=vectors, seed=st.integers(0, 99), size=sizes)
def test_mirrored_scene_and_motion_give_mirrored_flow(rotation, translation, seed, size):
    depth = depth_of(*size, seed)
    motion = resolved_motion(rotation=times(rotation, 0.1), translation=times(translation, 0.2))
    (rx, ry, rz), (tx, ty, tz) = motion.rotation, motion.translation
    mirrored = resolved_motion(rotation=(rx, -ry, -rz), translation=(-tx, ty, tz))
    flow = simulate_flow(depth, None, motion).flow
    other = simulate_flow(depth[:, ::-1], None, mirrored).flow[:, ::-1] * np.float32([-1, 1])
    np.testing.assert_allclose(flow, other, atol=1e-4, rtol=1e-5)


@few
@given(vectors, vectors, vectors, vectors)
def test_two_small_motions_compose(rotation, translation, next_rotation, next_translation):
    depth = depth_of(9, 13)
    first, second = (
        (rotation_matrix(np.array(r) * 0.02), np.array(t) * 0.02)
        for r, t in ((rotation, translation), (next_rotation, next_translation))
    )
    R, t = second[0] @ first[0], second[0] @ first[1] + second[1]
    angle = math.acos(min(1.0, (np.trace(R) - 1) / 2))
    axis = np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]])
    vector = axis * (angle / (2 * math.sin(angle)) if angle > 1e-6 else 0.5)
    whole = simulate_flow(depth, None, resolved_motion(rotation=tuple(vector), translation=tuple(t))).flow
    # Follow each pixel through the middle frame, where it has another place and another depth.
    K = camera_matrix(9, 13, 60.0)
    for row, column in ((0, 0), (4, 6), (8, 12), (2, 9)):
        point = np.linalg.inv(K) @ [column, row, 1] / in_range(depth)[row, column]
        middle = first[0] @ point + first[1]
        last = K @ (second[0] @ middle + second[1])
        np.testing.assert_allclose(whole[row, column], last[:2] / last[2] - (column, row), atol=1e-3)


def test_the_loop_takes_labels_of_several_objects():
    height, width = 6, 70
    random = np.random.default_rng(0)
    depth, labels = depth_of(height, width), random.integers(0, 4, (height, width)).astype(np.uint8)
    labels[2:4] = np.repeat([0, 3, 1, 2, 0], (17, 16, 15, 21, 1))
    matrices = (random.normal(size=(4, 12)) * 1e-3).astype(np.float32)
    columns, rows = pixel_axes(height, width)
    flow, valid = np.empty((height, 2 * width), np.float32), np.empty((height, width), bool)
    assert fill_flow(depth, labels, matrices, columns, rows, flow, valid) == 0
    for row, column in np.ndindex(height, width):
        matrix = matrices[labels[row, column]].tolist()
        u, v, change = plane_and_parallax(matrix, float(columns[column]), float(rows[row]), float(depth[row, column]))
        found = flow[row, 2 * column : 2 * column + 2]
        np.testing.assert_allclose(found, (u / (1 + change), v / (1 + change)), atol=1e-5)
    assert valid.all()


def test_a_wide_view_has_a_short_focal_length():
    assert focal_length_px(400, 90.0) == pytest.approx(200)
    assert focal_length_px(400, 40.0) > focal_length_px(400, 60.0) > focal_length_px(200, 60.0)


def test_still_camera_and_object_bring_no_flow_whatever_the_mask():
    assert (simulate_flow(depth_of(5, 7), np.ones((5, 7), bool), resolved_motion(rotation=STILL)).flow == 0).all()
