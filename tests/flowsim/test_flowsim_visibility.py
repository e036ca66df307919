"""The forward z-buffer against a pixel-by-pixel one."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsim import FlowsimError, find_visibility
from flowsim.visibility_torch import visibility_of_tensors
from tests.flowsim.flow_reference import z_buffer


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.tuples(st.integers(1, 12), st.integers(1, 14)), st.floats(0, 6), st.booleans())
def test_agrees_with_the_slow_z_buffer(seed, size, spread, has_steps):
    random = np.random.default_rng(seed)
    flow = (random.normal(size=(*size, 2)) * spread).astype(np.float32)
    depth = random.random(size, np.float32)
    if has_steps:  # many ties in depth, and targets half-way between pixels
        flow, depth = np.rint(flow * 2) / np.float32(2), np.rint(depth * 3) / np.float32(3)
    expected = z_buffer(flow, depth)
    for found in (
        find_visibility(flow, depth),
        find_visibility(torch.from_numpy(flow), torch.from_numpy(depth)),
        visibility_of_tensors(torch.from_numpy(flow), torch.from_numpy(depth), None),
    ):
        for name, one, other in zip(found._fields, found, expected, strict=True):
            assert np.array_equal(np.asarray(one), other), name


def test_near_object_hides_what_it_moves_over_and_uncovers_what_it_leaves():
    depth = np.full((5, 9), 0.2, np.float32)
    depth[1:4, 2:4] = 1
    flow = np.zeros((5, 9, 2), np.float32)
    flow[1:4, 2:4, 0] = 3
    found = find_visibility(flow, depth)
    expected = np.zeros((5, 9), bool)
    expected[1:4, 5:7] = True
    assert np.array_equal(found.hidden, expected)
    assert np.array_equal(found.uncovered, np.roll(expected, -3, 1))
    assert not found.leaves.any()


def test_equally_near_pixels_all_stay_visible():
    flow = np.zeros((1, 3, 2), np.float32)
    flow[0, 0, 0] = 1
    found = find_visibility(flow, np.full((1, 3), 0.5, np.float32))
    assert not found.hidden.any()
    assert found.uncovered.tolist() == [[True, False, False]]


def test_targets_are_rounded_half_up_and_the_border_is_half_a_pixel_out():
    flow = np.zeros((1, 4, 2), np.float32)
    flow[0, :, 0] = (-0.5, -0.51 - 1, 0.5, 0.5)
    found = find_visibility(flow, np.linspace(0, 1, 4, dtype=np.float32)[None])
    assert found.leaves.tolist() == [[False, True, False, True]]
    assert found.uncovered.tolist() == [[False, True, True, False]]


def test_invalid_and_unknown_pixels_leave_and_hide_nothing():
    flow = np.zeros((1, 3, 2), np.float32)
    flow[0, 0, 0] = np.nan
    flow[0, 1, 0] = 1
    depth = np.array([[0.5, 0.9, 0.1]], np.float32)
    valid = np.array([[True, False, True]])
    for found in (find_visibility(flow, depth, valid), find_visibility(*map(torch.from_numpy, (flow, depth, valid)))):
        assert found.leaves.tolist() == [[True, True, False]]
        assert not found.hidden.any()


def test_fields_of_a_batch_do_not_touch_each_other():
    random = np.random.default_rng(0)
    flow = (random.normal(size=(2, 3, 150, 170, 2)) * 9).astype(np.float32)
    depth = random.random((2, 3, 150, 170), np.float32)
    batch = find_visibility(torch.from_numpy(flow), torch.from_numpy(depth))
    for index in np.ndindex(2, 3):
        for one, other in zip(batch, find_visibility(flow[index], depth[index]), strict=True):
            assert np.array_equal(one[index], other)


@pytest.mark.gpu
def test_gpu_agrees_with_the_cpu():
    flow, depth = torch.randn(3, 60, 70, 2) * 5, torch.rand(3, 60, 70)
    for one, other in zip(find_visibility(flow.cuda(), depth.cuda()), find_visibility(flow, depth), strict=True):
        assert torch.equal(one.cpu(), other)


def test_shapes_and_types_that_do_not_fit_are_named():
    flow, depth = np.zeros((4, 5, 2), np.float32), np.zeros((4, 5), np.float32)
    for arguments in ((flow[..., :1], depth), (flow, depth[:3]), (flow[:0], depth[:0]), (flow, depth, depth[:2] > 0)):
        with pytest.raises(FlowsimError, match=r"flow has shape .*, inverse_depth .* expected \(...,h,w,2\)"):
            find_visibility(*arguments)
    with pytest.raises(FlowsimError, match="inverse_depth is float64, expected float32"):
        find_visibility(flow, depth.astype(np.float64))
