"""Flow of batches: against a slow reference, and its invariances."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsim import (
    Camera,
    FlowField,
    FlowsimError,
    Motion,
    MotionPrior,
    inverse_depth_in_range,
    resynthesize_flow,
    sample_motion,
    simulate_flow,
    synthesize_flow,
)
from flowsim.motion import motion_matrices
from flowsim.synthesis import flow_expression
from tests.flowsim.flow_reference import flow_of_photo, rotation_matrix

few = settings(max_examples=25, deadline=None)
vectors = st.tuples(*[st.floats(-1, 1, width=32)] * 3)
sizes = st.tuples(st.integers(1, 17), st.integers(1, 19))


def depth_of(height, width, seed=0, batch=1):
    """Realistic: depths of 1 to 100, wide parts of it smooth."""
    generator = torch.Generator().manual_seed(seed)
    return inverse_depth_in_range(torch.rand(batch, height, width, generator=generator), 100.0)


def one(vector, factor=1.0):
    return torch.tensor([vector]) * factor


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
    field = synthesize_flow(depth, Camera(45, 401, fov_deg), Motion(one(rotation), one(translation)))
    expected, there = flow_of_photo(depth[0].numpy(), fov_deg, np.array(rotation), np.array(translation))
    assert (field.valid[0].numpy() == (there > 0)).all()
    held = np.abs(expected).max(-1) <= 200
    assert held.mean() > 0.9
    assert np.abs(expected[held]).max() > 20
    np.testing.assert_allclose(field.flow[0].numpy()[held], expected[held], atol=1e-3)


def test_objects_move_on_their_own_and_the_last_one_is_in_front():
    depth = depth_of(20, 31)
    masks = torch.zeros(1, 2, 20, 31, dtype=torch.bool)
    masks[0, 0, 3:12, 2:20] = True
    masks[0, 1, 8:18, 10:30] = True
    own_rotation, own_translation = torch.randn(1, 2, 3) * 0.1, torch.randn(1, 2, 3) * 0.1
    camera_motion = (one((0.01, 0.02, -0.03)), one((0.1, 0.0, 0.1)))
    field = synthesize_flow(depth, Camera(20, 31, 50.0), Motion(*camera_motion, own_rotation, own_translation), masks)
    motion = [part[0].double().numpy() for part in camera_motion]
    front = masks[0, 1].numpy()
    for mask, i in ((masks[0, 0].numpy() & ~front, 0), (front, 1)):
        own = (own_rotation[0, i].double().numpy(), own_translation[0, i].double().numpy())
        expected, _ = flow_of_photo(depth[0].numpy(), 50.0, *motion, mask, *own)
        np.testing.assert_allclose(field.flow[0].numpy()[mask], expected[mask], atol=1e-3)
    still = ~masks[0].any(0).numpy()
    expected, _ = flow_of_photo(depth[0].numpy(), 50.0, *motion)
    np.testing.assert_allclose(field.flow[0].numpy()[still], expected[still], atol=1e-3)


@few
@given(size=sizes, fov_deg=st.floats(5, 170), seed=st.integers(0, 99))
def test_no_motion_gives_exactly_no_flow(size, fov_deg, seed):
    field = synthesize_flow(depth_of(*size, seed), Camera(*size, fov_deg), Motion(torch.zeros(1, 3), torch.zeros(1, 3)))
    assert (field.flow == 0).all()
    assert field.valid.all()


@few
@given(tx=st.floats(-2, 2, width=32), size=sizes, fov_deg=st.floats(20, 120))
def test_sideways_translation_gives_u_equal_f_tx_d(tx, size, fov_deg):
    depth, camera = depth_of(*size), Camera(*size, fov_deg)
    flow = synthesize_flow(depth, camera, Motion(torch.zeros(1, 3), one((tx, 0.0, 0.0)))).flow
    torch.testing.assert_close(flow[..., 0], camera.focal_px * tx * depth, atol=1e-5, rtol=1e-5)
    assert (flow[..., 1] == 0).all()


@few
@given(rotation=vectors, size=sizes)
def test_pure_rotation_does_not_depend_on_depth(rotation, size):
    motion = Motion(one(rotation, 0.2), torch.zeros(1, 3))
    near, far = (synthesize_flow(depth_of(*size, seed), Camera(*size, 60.0), motion) for seed in (1, 2))
    assert torch.equal(near.flow, far.flow)


@few
@given(tz=st.floats(0.01, 0.9), size=st.tuples(st.integers(2, 17), st.integers(2, 19)))
def test_moving_forward_expands_from_the_principal_point(tz, size):
    height, width = size
    camera = Camera(height, width, 60.0)
    flow = synthesize_flow(depth_of(*size), camera, Motion(torch.zeros(1, 3), one((0.0, 0.0, -tz)))).flow[0]
    columns, rows = camera.axes(torch.device("cpu"))
    rays = torch.stack([columns.expand(height, -1), rows[:, None].expand(-1, width)], -1)
    outwards = (flow * rays).sum(-1)
    across = flow[..., 0] * rays[..., 1] - flow[..., 1] * rays[..., 0]
    off_centre = rays.abs().sum(-1) > 0
    assert (outwards[off_centre] > 0).all()
    assert across.abs().max() <= 1e-4 * max(1.0, float(outwards.max()))
    assert (flow[~off_centre] == 0).all()


@few
@given(rotation=vectors, translation=vectors, scale=st.floats(1, 50))
def test_scaling_depth_and_translation_together_changes_nothing(rotation, translation, scale):
    depth, camera = depth_of(9, 13), Camera(9, 13, 60.0)
    flow, scaled = (
        synthesize_flow(depth / s, camera, Motion(one(rotation, 0.1), one(translation, 0.2 * s))).flow
        for s in (1, scale)
    )
    torch.testing.assert_close(flow, scaled, atol=1e-4, rtol=1e-4)


@few
@given(rotation=vectors, translation=vectors, seed=st.integers(0, 99), size=sizes)
def test_mirrored_scene_and_motion_give_mirrored_flow(rotation, translation, seed, size):
    depth, camera = depth_of(*size, seed), Camera(*size, 60.0)
    flow = synthesize_flow(depth, camera, Motion(one(rotation, 0.1), one(translation, 0.2))).flow
    (rx, ry, rz), (tx, ty, tz) = rotation, translation
    mirrored = Motion(one((rx, -ry, -rz), 0.1), one((-tx, ty, tz), 0.2))
    other = synthesize_flow(depth.flip(2), camera, mirrored).flow.flip(2) * torch.tensor([-1.0, 1.0])
    torch.testing.assert_close(flow, other, atol=1e-4, rtol=1e-5)


@few
@given(vectors, vectors, vectors, vectors)
def test_two_small_motions_compose(rotation, translation, next_rotation, next_translation):
    depth, camera = depth_of(9, 13), Camera(9, 13, 60.0)
    first, second = (
        (rotation_matrix(np.array(r) * 0.02), np.array(t) * 0.02)
        for r, t in ((rotation, translation), (next_rotation, next_translation))
    )
    R, t = second[0] @ first[0], second[0] @ first[1] + second[1]
    angle = math.acos(min(1.0, (np.trace(R) - 1) / 2))
    axis = np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]])
    vector = axis * (angle / (2 * math.sin(angle)) if angle > 1e-6 else 0.5)
    both = Motion(torch.tensor(vector)[None], torch.tensor(t)[None])
    whole = synthesize_flow(depth, camera, both).flow[0].double()
    # Follow each pixel through the middle frame, where it has another place and another depth.
    K = camera.intrinsics()[0].numpy()
    for row, column in ((0, 0), (4, 6), (8, 12), (2, 9)):
        point = np.linalg.inv(K) @ [column, row, 1] / float(depth[0, row, column])
        middle = first[0] @ point + first[1]
        last = K @ (second[0] @ middle + second[1])
        np.testing.assert_allclose(whole[row, column], last[:2] / last[2] - (column, row), atol=1e-3)


def batch_of(size, height, width, objects=0, seed=3):
    generator = torch.Generator().manual_seed(seed)
    parts = [torch.randn(size, 3, generator=generator) * 0.1 for _ in range(2)]
    masks = None
    if objects:
        parts += [torch.randn(size, objects, 3, generator=generator) * 0.1 for _ in range(2)]
        masks = torch.rand(size, objects, height, width, generator=generator) > 0.6
    camera = Camera(height, width, torch.linspace(40, 90, size))
    return depth_of(height, width, seed, size), camera, Motion(*parts), masks


@pytest.mark.parametrize("objects", [0, 1, 3])
@pytest.mark.parametrize(("size", "height", "width"), [(1, 1, 1), (1, 37, 53), (64, 24, 33), (3, 301, 399)])
def test_cpu_kernel_and_tensor_expression_agree(size, height, width, objects):
    depth, camera, motion, masks = batch_of(size, height, width, objects)
    kernel = synthesize_flow(depth, camera, motion, masks)
    with torch.enable_grad():
        expression = synthesize_flow(depth.clone().requires_grad_(), camera, motion, masks)
    assert expression.flow.requires_grad
    assert torch.equal(kernel.valid, expression.valid)
    bounded = kernel.flow.abs().amax(-1) < 500
    torch.testing.assert_close(kernel.flow[bounded], expression.flow.detach()[bounded], atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("objects", [0, 2])
def test_an_image_has_the_same_bits_in_any_batch_and_with_any_number_of_threads(objects):
    depth, camera, motion, masks = batch_of(8, 203, 301, objects)
    fields = []
    before = torch.get_num_threads()
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        fields.append(synthesize_flow(depth, camera, motion, masks))
    torch.set_num_threads(before)
    for field in fields[1:]:
        assert torch.equal(field.flow, fields[0].flow)
        assert torch.equal(field.valid, fields[0].valid)
    own = [part[5:6] for part in (motion.rotation, motion.translation)]
    if objects:
        own += [motion.object_rotation[5:6], motion.object_translation[5:6]]
    alone = synthesize_flow(
        depth[5:6], Camera(203, 301, camera.fov_deg[5:6]), Motion(*own), None if masks is None else masks[5:6]
    )
    assert torch.equal(alone.flow[0], fields[0].flow[5])


def test_several_motions_of_each_image_are_the_single_ones():
    depth, camera, _, masks = batch_of(2, 19, 23, 1)
    many = Motion(*(torch.randn(2, 4, 3) * 0.1 for _ in range(2)), *(torch.randn(2, 4, 1, 3) * 0.1 for _ in range(2)))
    field = synthesize_flow(depth, camera, many, masks)
    assert field.flow.shape == (2, 4, 19, 23, 2)
    for k in range(4):
        parts = (many.rotation, many.translation, many.object_rotation, many.object_translation)
        single = synthesize_flow(depth, camera, Motion(*(part[:, k] for part in parts)), masks)
        assert torch.equal(field.flow[:, k], single.flow)
        assert torch.equal(field.valid[:, k], single.valid)


def test_out_is_filled_and_returned():
    depth, camera, motion, _ = batch_of(2, 8, 9)
    out = FlowField(torch.empty(2, 8, 9, 2), torch.empty(2, 8, 9, dtype=torch.bool))
    assert synthesize_flow(depth, camera, motion, out=out) is out
    assert torch.equal(out.flow, synthesize_flow(depth, camera, motion).flow)
    with pytest.raises(FlowsimError, match="out does not fit"):
        synthesize_flow(depth, camera, motion, out=FlowField(torch.empty(2, 8, 9, 1), out.valid))


def test_gradient_with_regard_to_depth_is_finite_behind_the_camera_too():
    depth = torch.tensor([[[1.0, 0.5, 0.1]]], requires_grad=True)
    motion = Motion(torch.zeros(1, 3), torch.tensor([[0.3, 0.0, -1.0]]))
    flow = synthesize_flow(depth, Camera(1, 3, 60.0), motion).flow
    flow.sum().backward()
    assert torch.isfinite(depth.grad).all()
    assert depth.grad[0, 0, 2] != 0


COMPILED = """
import sys, torch
from flowsim import Camera, Motion, flow_to_rgb, synthesize_flow, find_visibility

def flow_and_picture(depth, fov_deg, masks, *parts):
    field = synthesize_flow(depth, Camera(17, 23, fov_deg), Motion(*parts), masks)
    return field, flow_to_rgb(field.flow, 20.0), find_visibility(field.flow, depth, field.valid)

torch.manual_seed(0)
depth, fov_deg, masks = torch.rand(2, 17, 23), torch.tensor([50.0, 70.0]), torch.rand(2, 2, 17, 23) > 0.6
parts = [torch.randn(2, 3) * 0.1, torch.randn(2, 3) * 0.1, torch.randn(2, 2, 3) * 0.1, torch.randn(2, 2, 3) * 0.1]
field, rgb, seen = torch.compile(flow_and_picture, backend=sys.argv[1], fullgraph=True)(depth, fov_deg, masks, *parts)
expected, expected_rgb, expected_seen = flow_and_picture(depth, fov_deg, masks, *parts)
torch.testing.assert_close(field.flow, expected.flow, atol=1e-4, rtol=1e-5)
assert torch.equal(field.valid, expected.valid)
assert (rgb.int() - expected_rgb.int()).abs().max() <= 1
for one, other in zip(seen, expected_seen):
    assert (one != other).float().mean() < 0.01
"""


# In a process without the checks of shapes that the tests put around every function: the compiler cannot trace those.
@pytest.mark.parametrize("backend", ["eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_depth_to_flow_to_picture_compiles_as_one_graph(backend):
    answer = subprocess.run([sys.executable, "-c", COMPILED, backend], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


@pytest.mark.gpu
def test_gpu_agrees_with_the_cpu():
    for objects in (0, 2):
        depth, camera, motion, masks = batch_of(5, 301, 399, objects)
        expected = synthesize_flow(depth, camera, motion, masks)
        on_gpu = synthesize_flow(depth.cuda(), camera, motion, None if masks is None else masks.cuda())
        assert torch.equal(on_gpu.valid.cpu(), expected.valid)
        bounded = expected.flow.abs().amax(-1) < 500
        torch.testing.assert_close(on_gpu.flow.cpu()[bounded], expected.flow[bounded], atol=1e-3, rtol=1e-5)


def test_motions_with_a_size_give_the_same_flow_in_batches():
    depth = np.linspace(0, 1, 3 * 40 * 60, dtype=np.float32).reshape(3, 40, 60)
    masks = np.zeros((3, 40, 60), bool)
    masks[:, 10:30, 20:50] = True
    for preset in ("parallax", "camera", "camera+object"):
        prior = MotionPrior.preset(preset)
        single = [
            simulate_flow(d, m, sample_motion(prior, 1, "x", i))
            for i, (d, m) in enumerate(zip(depth, masks, strict=True))
        ]
        motions = [each.motion for each in single]
        field = resynthesize_flow(torch.from_numpy(depth), motions, torch.from_numpy(masks))
        assert torch.equal(field.flow, torch.from_numpy(np.stack([each.flow for each in single])))
    with pytest.raises(FlowsimError, match="has no size yet"):
        resynthesize_flow(torch.from_numpy(depth), [sample_motion(prior, 1, "x", 0)] * 3)


STILL = torch.zeros(2, 3)


@pytest.mark.parametrize(
    ("depth", "message"),
    [
        (torch.zeros(4, 5), r"inverse_depth is torch.float32 of shape \(4, 5\), expected float32 \(b,h,w\)"),
        (torch.zeros(2, 0, 5), r"shape \(2, 0, 5\)"),
        (torch.zeros(2, 4, 5, dtype=torch.float64), "inverse_depth is torch.float64"),
        (torch.zeros(2, 4, 6), r"expected \(b,4,5\): the camera's height and width"),
        (torch.zeros(3, 4, 5), "motion is for 2 images, inverse_depth holds 3"),
        (torch.full((2, 4, 5), math.nan), "40 values that are NaN or not in"),
        (torch.full((2, 4, 5), math.inf), "the first in image 0"),
        (torch.tensor([0.5, 1.5]).repeat(20).reshape(2, 4, 5), "20 values"),
        (torch.full((2, 4, 5), -0.1), "normalise each photo"),
    ],
)
def test_depth_that_cannot_be_used_is_named(depth, message):
    with pytest.raises(FlowsimError, match=message):
        synthesize_flow(depth, Camera(4, 5, 60.0), Motion(STILL, STILL))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((torch.zeros(2, 4), STILL), r"rotation has shape \(2, 4\), expected \(b,3\)"),
        ((STILL, torch.zeros(3, 3)), r"translation is torch.float32 of shape \(3, 3\), expected float \(2,3\)"),
        ((STILL, torch.full((2, 3), math.nan)), "translation of shape .* holds NaN or infinite"),
        ((torch.full((2, 3), math.inf), STILL), "rotation of shape .* holds NaN or infinite"),
        ((STILL, STILL.long()), "translation is torch.int64"),
        ((STILL, STILL, STILL[:, None]), "give both or neither"),
        ((STILL, STILL, STILL[:, None], STILL), "object_translation .* expected float"),
        ((STILL, STILL, STILL, STILL), "object_rotation has shape"),
    ],
)
def test_motion_that_cannot_be_used_is_named(parts, message):
    with pytest.raises(FlowsimError, match=message):
        Motion(*parts)


@pytest.mark.parametrize("fov_deg", [0.0, 180.0, -3.0, math.nan, torch.tensor([60.0, 181.0])])
def test_field_of_view_must_be_inside_0_and_180(fov_deg):
    with pytest.raises(FlowsimError, match=r"fov_deg is .*, expected degrees inside \(0, 180\)"):
        Camera(4, 5, fov_deg)


def test_camera_of_no_pixels_or_other_batch_is_an_error():
    with pytest.raises(FlowsimError, match="height=0"):
        Camera(0, 5, 60.0)
    with pytest.raises(FlowsimError, match="fov_deg is for 3 images"):
        synthesize_flow(torch.zeros(2, 4, 5), Camera(4, 5, torch.full((3,), 60.0)), Motion(STILL, STILL))


def test_masks_and_object_motions_belong_together():
    depth, camera = torch.zeros(2, 4, 5), Camera(4, 5, 60.0)
    moving = Motion(STILL, STILL, STILL[:, None], STILL[:, None])
    with pytest.raises(FlowsimError, match="motion has object parts: give masks"):
        synthesize_flow(depth, camera, moving)
    with pytest.raises(FlowsimError, match="the motion has no object parts"):
        synthesize_flow(depth, camera, Motion(STILL, STILL), torch.ones(2, 4, 5, dtype=torch.bool))
    for masks in (torch.ones(2, 4, 6, dtype=torch.bool), torch.ones(2, 4, 5)):
        with pytest.raises(FlowsimError, match=r"masks are .*, expected bool \(2,1,4,5\) or \(2,4,5\)"):
            synthesize_flow(depth, camera, moving, masks)


@pytest.mark.parametrize("far", [0.5, math.inf, math.nan])
def test_depth_range_below_one_is_an_error(far):
    with pytest.raises(FlowsimError, match="at least 1"):
        inverse_depth_in_range(torch.zeros(1, 2, 2), far)
    with pytest.raises(FlowsimError, match="at least 1"):
        inverse_depth_in_range(torch.zeros(1, 2, 2), torch.tensor([far]))


def test_depth_range_of_a_batch_and_of_an_array():
    normalized = torch.rand(3, 4, 5)
    batch = inverse_depth_in_range(normalized, torch.tensor([1.0, 4.0, 100.0]))
    for i, far in enumerate((1.0, 4.0, 100.0)):
        torch.testing.assert_close(batch[i], inverse_depth_in_range(normalized[i], far))
        assert batch[i].min() >= 1 / far
        assert batch[i].max() <= 1
    array = inverse_depth_in_range(normalized[1].numpy(), 4.0)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, inverse_depth_in_range(normalized[1], 4.0).numpy())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_works_in_a_forked_worker_after_use_in_the_parent():
    depth, camera, motion, _ = batch_of(8, 203, 301)
    expected = synthesize_flow(depth, camera, motion).flow
    loader = torch.utils.data.DataLoader(
        [0], batch_size=None, num_workers=1, collate_fn=lambda _: synthesize_flow(depth, camera, motion).flow
    )
    assert torch.equal(next(iter(loader)), expected)


def test_expression_takes_labels_of_every_object():
    depth, camera, motion, masks = batch_of(2, 9, 11, 3)
    labels = torch.zeros(2, 9, 11, dtype=torch.uint8)
    for i in range(3):
        labels[masks[:, i]] = i + 1
    field = flow_expression(depth, motion_matrices(camera, motion).float(), labels)
    torch.testing.assert_close(
        field.flow[:, 0], synthesize_flow(depth, camera, motion, masks).flow, atol=1e-3, rtol=1e-4
    )
