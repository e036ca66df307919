"""The CONVENTIONS block of flowsim, one test each."""

import math
import subprocess
import sys

import numpy as np
import torch

from flowsim import Camera, Motion, MotionPrior, flow_to_rgb, inverse_depth_in_range, sample_motion, synthesize_flow
from flowsim.kernels.flow import plane_and_parallax
from flowsim.projection import for_normalized_depth
from tests.flowsim.flow_reference import rotation_matrix

STILL = torch.zeros(1, 3)


def moved(inverse_depth, fov_deg=60.0, rotation=STILL, translation=STILL):
    camera = Camera(*inverse_depth.shape[1:], fov_deg)
    return synthesize_flow(inverse_depth, camera, Motion(rotation, translation))


def test_convention_image_is_channels_last_rgb_uint8():
    rgb = flow_to_rgb(np.array([[[1.0, 0.0], [0.0, 0.0]]], np.float32))
    assert rgb.shape == (1, 2, 3)
    assert rgb.dtype == np.uint8
    assert rgb[0, 0].tolist() == [255, 0, 0]  # to the right is red


def test_convention_flow_u_right_v_down_towards_the_next_frame():
    depth = torch.full((1, 5, 7), 1.0)
    right = moved(depth, translation=torch.tensor([[0.1, 0.0, 0.0]])).flow
    down = moved(depth, translation=torch.tensor([[0.0, 0.1, 0.0]])).flow
    assert (right[..., 0] > 0).all()
    assert (right[..., 1] == 0).all()
    assert (down[..., 1] > 0).all()
    assert (down[..., 0] == 0).all()


def test_convention_camera_focal_length_from_horizontal_field_of_view_and_centre():
    camera = Camera(300, 401, 90.0)
    assert camera.focal_px == 401 / 2 / math.tan(math.radians(45))
    assert camera.principal_point == (200.0, 149.5)
    expected = [[camera.focal_px, 0, 200.0], [0, camera.focal_px, 149.5], [0, 0, 1]]
    assert camera.intrinsics()[0].tolist() == expected
    # Straight ahead is the integer centre of the middle pixel: only there a move forward changes nothing.
    flow = moved(torch.full((1, 301, 401), 0.5), translation=torch.tensor([[0.0, 0.0, -0.5]])).flow[0]
    assert flow[150, 200].tolist() == [0, 0]


def test_convention_motion_moves_points_of_the_scene_by_rotation_vector_then_translation():
    rotation, translation = torch.tensor([[0.02, -0.05, 0.03]]), torch.tensor([[0.1, -0.05, 0.2]])
    depth = torch.full((1, 21, 31), 0.5)
    flow = moved(depth, 70.0, rotation, translation).flow[0].double().numpy()
    K = Camera(21, 31, 70.0).intrinsics()[0].numpy()
    point = 2 * np.linalg.inv(K) @ [4, 17, 1]
    there = K @ (rotation_matrix(rotation[0].double().numpy()) @ point + translation[0].double().numpy())
    np.testing.assert_allclose(flow[17, 4], there[:2] / there[2] - (4, 17), atol=1e-4)


def test_convention_motion_of_an_object_comes_before_the_cameras():
    turn, push = torch.tensor([[0.0, 0.3, 0.0]]), torch.tensor([[0.0, 0.0, 0.5]])
    depth, camera = torch.full((1, 11, 13), 0.5), Camera(11, 13, 60.0)
    everything = torch.ones(1, 11, 13, dtype=torch.bool)
    motion = Motion(turn, STILL, STILL[:, None], push[:, None])
    flow = synthesize_flow(depth, camera, motion, everything).flow[0, 5, 6]
    pushed_then_turned = rotation_matrix(np.array([0, 0.3, 0])) @ [0, 0, 2.5]
    u = camera.focal_px * pushed_then_turned[0] / pushed_then_turned[2]
    np.testing.assert_allclose(flow, [u, 0], atol=1e-5)


def test_convention_inverse_depth_one_is_nearest_zero_is_infinitely_far():
    depth = torch.tensor([[[1.0, 0.5, 0.0]]])
    u = moved(depth, translation=torch.tensor([[0.1, 0.0, 0.0]])).flow[0, 0, :, 0]
    assert u[0] == 2 * u[1]
    assert u[2] == 0
    in_range = inverse_depth_in_range(depth, 10.0)[0, 0]
    np.testing.assert_allclose(in_range, [1, 0.55, 0.1], rtol=1e-6)
    matrix = tuple(np.random.default_rng(0).normal(size=12))  # what the simulation does to the matrix in its place
    for normalized, d in zip(depth[0, 0].tolist(), in_range.tolist(), strict=True):
        folded = plane_and_parallax(for_normalized_depth(matrix, 10.0), 3.0, -2.0, normalized)
        np.testing.assert_allclose(folded, plane_and_parallax(matrix, 3.0, -2.0, d), rtol=1e-6)


def test_convention_behind_the_camera_is_invalid_with_zero_flow():
    depth = torch.tensor([[[1.0, 0.5, 0.1]]])
    field = moved(depth, translation=torch.tensor([[0.3, 0.0, -1.5]]))
    assert field.valid.tolist() == [[[False, True, True]]]
    assert field.flow[0, 0, 0].tolist() == [0, 0]
    assert torch.isfinite(field.flow).all()


def test_convention_random_motion_depends_on_prior_seed_id_and_index_alone():
    prior = MotionPrior.preset("camera+object")
    arguments = [(seed, name, index) for seed in (0, 7) for name in ("a", "b") for index in (0, 1)]
    forwards = [sample_motion(prior, *each) for each in arguments]
    backwards = [sample_motion(prior, *each) for each in reversed(arguments)][::-1]
    assert forwards == backwards
    assert len({motion.to_vector().tobytes() for motion in forwards}) == len(arguments)
    # A process of its own, with another hash seed, draws the same.
    program = (
        "from flowsim import MotionPrior, sample_motion;"
        "print(repr(sample_motion(MotionPrior.preset('camera+object'), 7, 'b', 1).fov_deg))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert float(answer.stdout) == forwards[-1].fov_deg
