"""Flow to colours, against the published program, and back to flow."""

import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsim import FlowsimError, flow_to_rgb, rgb_to_flow
from tests.flowsim.flow_reference import published_colors


def assert_published(rgb, flow, max_radius=None):
    """Compare with the published definition; within 0.001 of a whole number, either neighbour is accepted."""
    exact = published_colors(flow, max_radius)
    low, high = np.floor(exact - 1e-3), np.floor(exact + 1e-3)
    assert ((rgb == low.clip(0)) | (rgb == high)).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(1e-3, 300), st.sampled_from([None, 0.5, 7.0, 100.0]))
def test_equal_to_the_published_definition(seed, spread, max_radius):
    flow = (np.random.default_rng(seed).normal(size=(9, 13, 2)) * spread).astype(np.float32)
    assert_published(flow_to_rgb(flow, max_radius), flow, max_radius)


SPECIAL = [
    (0, 0),
    (-0.0, 0),
    (1, 0),
    (1, -0.0),
    (-1, 0),
    (-1, -0.0),
    (0, 1),
    (0, -1),
    (3, 4),
    (-4, 3),
    (1e-30, 0),
    (5, 5),
]


@pytest.mark.parametrize("max_radius", [None, 1.0, 5.0])
def test_equal_on_axes_on_the_rim_and_at_zero(max_radius):
    flow = np.array([SPECIAL], np.float32)
    rgb = flow_to_rgb(flow, max_radius)
    assert_published(rgb, flow, max_radius)
    assert rgb[0, 0].tolist() == [255, 255, 255]


def test_no_motion_at_all_is_white():
    assert (flow_to_rgb(np.zeros((2, 3, 4, 2), np.float32)) == 255).all()


@pytest.mark.parametrize("as_tensor", [False, True])
def test_shortest_radius_of_fields_that_hardly_move(as_tensor):
    short, long = (
        np.random.default_rng(0).uniform(-length, length, (4, 5, 2)).astype(np.float32) for length in (0.1, 9)
    )
    flow = np.stack([short, long])
    rgb = np.asarray(flow_to_rgb(torch.from_numpy(flow) if as_tensor else flow, min_radius=2.5))
    assert np.array_equal(rgb[0], flow_to_rgb(short, 2.5))
    assert np.array_equal(rgb[1], flow_to_rgb(long))
    assert (flow_to_rgb(np.zeros((3, 4, 2), np.float32), min_radius=2.5) == 255).all()


@pytest.mark.parametrize("min_radius", [-1, np.inf, np.nan])
def test_shortest_radius_that_cannot_be_is_refused(min_radius):
    with pytest.raises(FlowsimError, match="expected a number of pixels, or 0"):
        flow_to_rgb(np.zeros((3, 4, 2), np.float32), min_radius=min_radius)


def test_longest_vector_is_inside_the_wheel():
    # Dividing u and v by the length first would put a third of the longest vectors outside by rounding: too dark.
    for seed in range(50):
        flow = np.random.default_rng(seed).normal(size=(1, 1, 2)).astype(np.float32)
        assert flow_to_rgb(flow).max() == 255


@pytest.mark.parametrize("unknown", [np.nan, np.inf, -np.inf, 1.1e9, 1.666666752e9])
def test_unknown_flow_is_black_and_changes_nothing_else(unknown):
    flow = np.random.default_rng(0).normal(size=(4, 5, 2)).astype(np.float32)
    known = flow_to_rgb(flow)
    flow[1, 2] = 0
    expected = flow_to_rgb(flow)
    for channel in (0, 1):
        spoiled = flow.copy()
        spoiled[1, 2, channel] = unknown
        for rgb in (flow_to_rgb(spoiled), flow_to_rgb(torch.from_numpy(spoiled)).numpy()):
            assert (rgb[1, 2] == 0).all()
            rest = np.ones((4, 5), bool)
            rest[1, 2] = False
            assert np.array_equal(rgb[rest], expected[rest])
    assert known.shape == (4, 5, 3)


def test_each_field_of_a_batch_has_its_own_scale_and_any_batch_gives_the_same():
    flow = np.random.default_rng(0).normal(size=(2, 3, 120, 170, 2)).astype(np.float32)
    flow *= np.array([1, 10, 100], np.float32)[:, None, None, None]
    batch = flow_to_rgb(torch.from_numpy(flow)).numpy()
    assert np.array_equal(batch, flow_to_rgb(flow))
    for index in np.ndindex(2, 3):
        assert np.array_equal(batch[index], flow_to_rgb(flow[index]))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 300))
def test_colors_give_the_flow_back(seed, spread):
    flow = (np.random.default_rng(seed).normal(size=(9, 13, 2)) * spread).astype(np.float32)
    longest = float(np.hypot(flow[..., 0], flow[..., 1]).max())
    back = rgb_to_flow(flow_to_rgb(flow), longest)
    assert back.valid.all()
    np.testing.assert_allclose(back.flow, flow, atol=0.02 * longest)


def test_every_direction_comes_back_at_full_length():
    angle = np.linspace(-np.pi, np.pi, 721)[None, :-1]
    flow = np.stack([np.cos(angle), np.sin(angle)], -1).astype(np.float32)
    error = np.hypot(*np.moveaxis(rgb_to_flow(flow_to_rgb(flow, 1.0)).flow - flow, -1, 0))
    assert error.max() < 0.06  # one hue of the wheel, where two hues round to the same colour
    assert np.median(error) < 0.005


def test_colors_of_jpeg_files_give_the_flow_back_roughly():
    import cv2

    columns, rows = np.meshgrid(np.linspace(-1, 1, 120), np.linspace(-1, 1, 90))
    flow = np.stack([rows + columns, rows - columns], -1).astype(np.float32) * 5
    _, encoded = cv2.imencode(".jpg", np.ascontiguousarray(flow_to_rgb(flow, 10.0)[..., ::-1]))
    back = rgb_to_flow(np.ascontiguousarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1]), 10.0)
    error = np.hypot(*np.moveaxis(back.flow - flow, -1, 0))
    assert np.median(error) < 0.3


def test_black_of_jpeg_files_comes_back_unknown():
    noise = np.random.default_rng(0).integers(0, 60, (5, 7, 3), np.uint8)  # what compression leaves of black
    back = rgb_to_flow(noise)
    assert not back.valid.any()
    assert (back.flow == 0).all()


def test_black_and_vectors_beyond_the_rim_come_back_marked():
    flow = np.array([[[np.nan, 0], [0, 0], [30, 0], [0, 2]]], np.float32)
    back = rgb_to_flow(flow_to_rgb(flow, 10.0), 10.0)
    assert back.valid.tolist() == [[False, True, True, True]]
    assert back.flow[0, 0].tolist() == [0, 0]
    np.testing.assert_allclose(back.flow[0, 1:], [[0, 0], [10, 0], [0, 2]], atol=0.15)


def test_flow_on_another_device_is_an_error_that_names_the_repair():
    with pytest.raises(FlowsimError, match=r"flow is on meta, expected an array or a tensor on the CPU: call flow.cpu"):
        flow_to_rgb(torch.zeros(4, 5, 2, device="meta"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_threads_work_in_a_forked_worker_after_use_in_the_parent():
    flow = torch.randn(8, 203, 301, 2, generator=torch.Generator().manual_seed(0))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    expected = flow_to_rgb(flow)
    loader = torch.utils.data.DataLoader(
        [0],
        batch_size=None,
        num_workers=1,
        worker_init_fn=lambda _: torch.set_num_threads(2),
        collate_fn=lambda _: flow_to_rgb(flow),
    )
    assert torch.equal(next(iter(loader)), expected)
    torch.set_num_threads(before)


def test_flow_and_pictures_of_wrong_shape_or_type_are_named():
    for flow in (np.zeros((4, 2), np.float32), np.zeros((4, 5, 3), np.float32), np.zeros((0, 5, 2), np.float32)):
        with pytest.raises(FlowsimError, match=r"flow has shape .*, expected \(...,h,w,2\), not empty"):
            flow_to_rgb(flow)
    with pytest.raises(FlowsimError, match="flow is int64, expected float32"):
        flow_to_rgb(np.zeros((4, 5, 2), np.int64))
    for max_radius in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(FlowsimError, match=r"max_radius is .*, expected a positive number"):
            flow_to_rgb(np.zeros((4, 5, 2), np.float32), max_radius)
    for rgb in (np.zeros((4, 5, 3), np.float32), np.zeros((4, 5), np.uint8)):
        with pytest.raises(FlowsimError, match=r"rgb is .*, expected uint8 \(...,h,w,3\)"):
            rgb_to_flow(rgb)
