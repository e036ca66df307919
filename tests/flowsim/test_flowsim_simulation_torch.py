"""Flow of batches of photos as tensors, against `simulate_flow`."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from flowsim import FlowsimError, MotionPrior, sample_motion, simulate_flow, simulate_flow_batch
from flowsim.camera import pixel_axes
from flowsim.kernels.flow import fill_flow
from flowsim.prior import PRESETS
from flowsim.simulation_torch import flow_of_matrices
from tests.flowsim.flow_reference import resolved_motion


def photos(count, height, width):
    """Return depth, which rises to the lower right, and masks of a block each."""
    ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None] + np.linspace(0, 1, width, dtype=np.float32)
    depth = np.stack([ramp / (2 + image) for image in range(count)])
    masks = np.zeros(depth.shape, bool)
    masks[:, height // 4 : height // 2 + 1, width // 3 : width // 2 + 1] = True
    return depth, masks


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (37, 53), (90, 120), (120, 61)])
def test_a_batch_is_its_single_photos(preset, height, width):
    depth, masks = photos(3, height, width)
    prior = MotionPrior.preset(preset)
    single = [
        simulate_flow(d, m, sample_motion(prior, 1, "x", i)) for i, (d, m) in enumerate(zip(depth, masks, strict=True))
    ]
    batch = simulate_flow_batch(torch.from_numpy(depth), [each.motion for each in single], torch.from_numpy(masks))
    for flow, valid, each in zip(*batch, single, strict=True):
        np.testing.assert_array_equal(valid, each.valid)
        np.testing.assert_allclose(flow, each.flow, atol=1e-3)


def test_only_photos_with_an_object_that_moves_on_its_own_use_their_mask():
    depth, masks = photos(2, 20, 30)
    motions = [
        resolved_motion(translation=(0.1, 0.0, 0.0), background_deformation=0.01, wave_seed=5),
        resolved_motion(object_translation=(0.0, 0.2, 0.0)),
    ]
    batch = simulate_flow_batch(torch.from_numpy(depth), motions, torch.from_numpy(masks))
    for flow, d, mask, motion in zip(batch.flow, depth, (None, masks[1]), motions, strict=True):
        np.testing.assert_allclose(flow, simulate_flow(d, mask, motion).flow, atol=1e-4)


def test_points_behind_the_camera_are_invalid_with_zero_flow():
    depth, _ = photos(2, 20, 30)
    for softened in ({}, {"blur": 0.02}, {"background_deformation": 0.02, "wave_seed": 3}):
        motion = resolved_motion(translation=(0.1, 0.0, -2.0), **softened)
        flow, valid = simulate_flow_batch(torch.from_numpy(depth), [motion] * 2)
        assert 0.1 < valid.float().mean() < 0.9
        assert (flow[~valid] == 0).all()
        assert torch.isfinite(flow).all()
        np.testing.assert_array_equal(valid[0], simulate_flow(depth[0], None, motion).valid)


def test_the_expression_takes_labels_of_several_objects():
    random = np.random.default_rng(0)
    depth, labels = random.random((2, 9, 33), np.float32), random.integers(0, 4, (2, 9, 33)).astype(np.uint8)
    matrices = (random.normal(size=(2, 4, 12)) * 1e-3).astype(np.float32)
    found = flow_of_matrices(*map(torch.from_numpy, (depth, matrices, labels)))
    for image in range(2):
        flow, valid = np.empty((9, 66), np.float32), np.empty((9, 33), bool)
        fill_flow(depth[image], labels[image], matrices[image], *pixel_axes(9, 33), flow, valid)
        np.testing.assert_allclose(found.flow[image], flow.reshape(9, 33, 2), atol=1e-5)
        np.testing.assert_array_equal(found.valid[image], valid)


COMPILED = """
import sys, torch
from flowsim import find_visibility
from flowsim.simulation_torch import flow_of_matrices
from flowsim.visibility_torch import visibility_of_tensors

def flow_and_visibility(depth, matrices, labels):
    field = flow_of_matrices(depth, matrices, labels)
    return field, visibility_of_tensors(field.flow, depth, field.valid)

torch.manual_seed(0)
depth, matrices, labels = torch.rand(2, 17, 23), torch.randn(2, 3, 12) * 0.01, torch.randint(3, (2, 17, 23)).byte()
field, seen = torch.compile(flow_and_visibility, backend=sys.argv[1], fullgraph=True)(depth, matrices, labels)
expected, expected_seen = flow_and_visibility(depth, matrices, labels)
torch.testing.assert_close(field.flow, expected.flow, atol=1e-4, rtol=1e-5)
assert torch.equal(field.valid, expected.valid)
for one, other in zip(seen, expected_seen):
    assert (one != other).float().mean() < 0.01
"""


# In a process without the checks of shapes that the tests put around every function: the compiler cannot trace those.
@pytest.mark.parametrize("backend", ["eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_depth_to_flow_to_visibility_compiles_as_one_graph(backend):
    answer = subprocess.run([sys.executable, "-c", COMPILED, backend], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


@pytest.mark.gpu
@pytest.mark.parametrize("preset", PRESETS)
def test_gpu_agrees_with_the_cpu(preset):
    depth, masks = map(torch.from_numpy, photos(4, 301, 399))
    prior = MotionPrior.preset(preset)
    motions = [
        simulate_flow(depth[i].numpy(), masks[i].numpy(), sample_motion(prior, 2, "x", i)).motion for i in range(4)
    ]
    expected = simulate_flow_batch(depth, motions, masks)
    on_gpu = simulate_flow_batch(depth.cuda(), motions, masks.cuda())
    assert torch.equal(on_gpu.valid.cpu(), expected.valid)
    torch.testing.assert_close(on_gpu.flow.cpu(), expected.flow, atol=1e-3, rtol=1e-5)


STILL = resolved_motion()
MOVED = resolved_motion(object_translation=(0.1, 0.0, 0.0))
UNRESOLVED = resolved_motion(scale=-1.0)
DEPTH = torch.zeros(2, 4, 5)


@pytest.mark.parametrize(
    ("depth", "motions", "masks", "message"),
    [
        (DEPTH[0], [STILL] * 4, None, r"normalized_inverse_depth is torch.float32 of shape \(4, 5\), expected float32"),
        (DEPTH[:, :0], [STILL] * 2, None, r"shape \(2, 0, 5\), expected float32 \(b,h,w\), not empty"),
        (DEPTH.double(), [STILL] * 2, None, "normalized_inverse_depth is torch.float64"),
        (DEPTH, [STILL] * 3, None, "3 motions for 2 photos: give one each"),
        (DEPTH, [STILL, UNRESOLVED], None, "a motion is unresolved .* use the motion that simulate_flow returns"),
        (DEPTH, [STILL, MOVED], None, r"a motion moves the object on its own: give masks \(b,h,w\) bool"),
        (DEPTH, [MOVED] * 2, DEPTH, r"masks are torch.float32 of shape \(2, 4, 5\) on cpu, expected bool \(2, 4, 5\)"),
        (DEPTH, [MOVED] * 2, DEPTH[:, :3] > 0, r"masks are torch.bool of shape \(2, 3, 5\) on cpu"),
        (DEPTH + torch.nan, [STILL] * 2, None, r"has 40 values that are not in \[0, 1\]; normalise it per photo"),
        (torch.tensor([0.5, 1.5]).repeat(20).reshape(2, 4, 5), [STILL] * 2, None, "has 20 values"),
        (DEPTH - 0.1, [STILL] * 2, None, "has 40 values"),
    ],
)
def test_batch_that_cannot_be_used_is_named(depth, motions, masks, message):
    with pytest.raises(FlowsimError, match=message):
        simulate_flow_batch(depth, motions, masks)
