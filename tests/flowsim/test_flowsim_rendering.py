"""Rendered frames: the stated flow is the map that made them, and occlusion is that of a slow renderer."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsim import FlowsimError, MotionPrior, make_clip, rendering_torch, sample_motion, simulate_flow
from flowsim.layers import separate_layers
from flowsim.rendering import common_window, flow_between, photo_view, render_view
from flowsim.views import NO_LAYER
from tests.flowsim import rendering_reference as reference
from tests.flowsim.scenes import disk, motion, picture, slope

DRIFT = motion(rotation=(0.004, 0.01, 0.01), translation=(0.05, -0.02, -0.1), object_translation=(0.2, 0.05, 0.0))
BENDING = motion(
    rotation=(0.0, 0.01, 0.0),
    object_translation=(0.1, 0.0, 0.0),
    object_deformation=0.006,
    background_deformation=0.004,
    wave_seed=7,
)


def scene(height=96, width=128, wavelength_px=24.0):
    """A disk in front of a ground, its depth and its mask."""
    mask = disk(height, width, 0.55 * height, 0.5 * width, 0.22 * height)
    depth = np.where(mask > 127, np.float32(0.8), slope(height, width)).astype(np.float32)
    return picture(height, width, wavelength_px), depth, mask


def pair(image, depth, mask, *motions):
    labels = (mask > 127).astype(np.uint8)
    photo = separate_layers(image, depth, labels, mask)
    first, second = photo_view(photo, image), render_view(photo, motions)
    return photo, second, flow_between(photo, first, second), flow_between(photo, second, first)


@pytest.mark.parametrize("size", [(40, 60), (61, 47), (2, 2)])
def test_zero_motion_returns_the_photo_bit_for_bit(size):
    image = picture(*size, 3.0)
    mask = np.zeros(size, np.uint8) if size == (2, 2) else disk(*size, 20, 25, 11.3)
    photo, second, forward, backward = pair(image, slope(*size), mask, motion())
    assert np.array_equal(second.image, image)
    assert np.array_equal(second.labels, photo.labels)
    for field in (forward, backward):
        assert not field.flow.any()
        assert field.valid.all()
        assert not field.fate.any()


@pytest.mark.parametrize("made", [DRIFT, BENDING], ids=["rigid", "deformed"])
def test_flow_is_that_of_simulate_flow_to_the_bit(made):
    image, depth, mask = scene()
    photo, _, forward, _ = pair(image, depth, mask, made)
    simulated = simulate_flow(photo.inverse_depth, mask > 127, made)
    assert np.array_equal(forward.flow, simulated.flow)
    assert np.array_equal(forward.valid, simulated.valid)


@pytest.mark.parametrize("made", [DRIFT, BENDING], ids=["rigid", "deformed"])
@pytest.mark.parametrize(("wavelength_px", "levels"), [(30.0, 1), (8.0, 2)], ids=["smooth", "textured"])
def test_warping_the_next_frame_back_gives_the_photo(made, wavelength_px, levels):
    image, depth, mask = scene(180, 240, wavelength_px)
    _, second, forward, _ = pair(image, depth, mask, made)
    rows, columns = np.mgrid[:180, :240].astype(np.float32)
    warped = cv2.remap(second.image, columns + forward.flow[..., 0], rows + forward.flow[..., 1], cv2.INTER_CUBIC)
    difference = np.abs(warped.astype(int) - image)[forward.fate == reference.VISIBLE]
    assert (forward.fate == reference.VISIBLE).mean() > 0.8
    assert np.median(difference) <= levels


@pytest.mark.parametrize("made", [DRIFT, BENDING], ids=["rigid", "deformed"])
def test_flow_there_and_back_ends_where_it_began(made):
    image, depth, mask = scene(180, 240)
    _, second, forward, backward = pair(image, depth, mask, made)
    rows, columns = np.mgrid[:180, :240].astype(np.float32)
    target = np.stack([columns, rows], -1) + forward.flow
    labels = (mask > 127).astype(np.uint8)
    near_columns, near_rows = np.rint(target[..., 0]).astype(int), np.rint(target[..., 1]).astype(int)
    is_visible = forward.fate == reference.VISIBLE
    near_columns, near_rows = near_columns.clip(0, 239), near_rows.clip(0, 179)
    is_visible &= second.labels[near_rows, near_columns] == labels
    back = backward.flow[near_rows, near_columns]
    error = np.hypot(*np.moveaxis(forward.flow + back, -1, 0))[is_visible]
    assert np.percentile(error, 99) < 0.1


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["camera", "camera+object", "davis"]))
def test_occlusion_is_that_of_the_slow_renderer(seed, preset):
    height, width = 22, 28
    random = np.random.default_rng(seed)
    mask = disk(height, width, *(random.uniform(0.3, 0.7, 2) * (height, width)), random.uniform(3, 7))
    depth = np.clip(slope(height, width) + cv2.resize(random.random((4, 5), np.float32), (width, height)) * 0.3, 0, 1)
    labels = (mask > 127).astype(np.uint8)
    image = picture(height, width, 4.0)
    photo = separate_layers(image, depth, labels, mask)
    made = simulate_flow(
        photo.inverse_depth, labels > 0, sample_motion(MotionPrior.preset(preset), seed, "a", 0)
    ).motion
    first, second = photo_view(photo, image), render_view(photo, [made])
    forward = flow_between(photo, first, second)
    layers = [reference.triangles(surface.displacement, surface.next_depth) for surface in second.surfaces]
    seen = [[reference.front(layers, labels, (x, y)) for x in range(width)] for y in range(height)]
    fronts = np.array([[NO_LAYER if hit is None else hit[0] for hit in row] for row in seen])
    fates = np.array(
        [
            [
                reference.fate(
                    layers,
                    labels,
                    (x, y),
                    labels[y, x],
                    second.surfaces[labels[y, x]].displacement[y, x],
                    second.surfaces[labels[y, x]].next_depth[y, x],
                )
                for x in range(width)
            ]
            for y in range(height)
        ]
    )
    # Points on an edge, and folds of less than a pixel, may go either way.
    assert (fronts != second.labels).mean() < 0.005
    assert (fates != forward.fate).mean() < 0.015
    where = [
        np.abs(second.source[y, x] - seen[y][x][2]).max()
        for y in range(height)
        for x in range(width)
        if seen[y][x] is not None and seen[y][x][0] == second.labels[y, x]
    ]
    assert np.percentile(where, 99) < 1e-3


def test_what_the_next_frame_uncovers_was_hidden_in_the_photo():
    image, depth, mask = scene()
    made = motion(object_translation=(0.3, 0.0, 0.0))
    _, second, _, backward = pair(image, depth, mask, made)
    labels = (mask > 127).astype(np.uint8)
    uncovered = (second.labels == 0) & (labels == 1)
    assert uncovered.sum() > 50
    assert (backward.fate[uncovered] == reference.HIDDEN).all()
    assert (backward.fate[~uncovered] == reference.VISIBLE).all()


def test_fronto_parallel_plane_agrees_with_a_perspective_warp():
    height, width = 120, 160
    image = picture(height, width, 20.0)
    depth = np.full((height, width), 0.4, np.float32)
    made = motion(rotation=(0.01, -0.02, 0.03), translation=(0.1, 0.05, -0.2))
    _photo, second, forward, _ = pair(image, depth, np.zeros((height, width), np.uint8), made)
    corners = np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]])
    moved = np.float32([corner + forward.flow[corner[1], corner[0]] for corner in corners])
    homography = cv2.getPerspectiveTransform(corners.astype(np.float32), moved)
    expected = cv2.warpPerspective(image, homography, (width, height), flags=cv2.INTER_CUBIC)
    inside = cv2.erode((second.labels == 0).view(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert inside.mean() > 0.8
    assert np.abs(expected.astype(int) - second.image)[inside].max() <= 3
    assert np.abs(expected.astype(int) - second.image)[inside].mean() < 0.5


def test_a_surface_hides_what_lies_behind_it_in_the_same_layer():
    height, width = 40, 80
    depth = np.full((height, width), 0.1, np.float32)
    depth[:, 20:40] = 0.9
    made = motion(translation=(0.3, 0.0, 0.0))
    _photo, _second, forward, _ = pair(picture(height, width, 9.0), depth, np.zeros((height, width), np.uint8), made)
    near_px, far_px = forward.flow[20, 30, 0], forward.flow[20, 60, 0]
    covered = slice(40, int(40 + near_px - far_px) - 2)
    assert covered.stop - covered.start > 5
    assert (forward.fate[5:-5, covered] == reference.HIDDEN).all()
    assert (forward.fate[5:-5, 22:38] == reference.VISIBLE).all()


def test_pixels_that_go_outside_leave_and_the_rest_of_the_frame_is_unknown():
    made = motion(rotation=(0.0, 0.1, 0.0))
    image, depth, _ = scene()
    _, second, forward, backward = pair(image, depth, np.zeros_like(image[..., 0]), made)
    assert (forward.fate[:, -5:] == reference.LEAVES).all() or (forward.fate[:, :5] == reference.LEAVES).all()
    unknown = second.labels == NO_LAYER
    assert unknown.mean() > 0.03
    assert not backward.valid[unknown].any()
    assert not backward.flow[unknown].any()
    rows, columns = common_window([second.labels])
    assert not unknown[rows, columns].any()
    assert (rows.stop - rows.start) * (columns.stop - columns.start) > 0.7 * unknown.size


def test_a_motion_that_throws_everything_out_of_the_picture_leaves_a_defined_frame():
    image, depth, mask = scene()
    made = motion(rotation=(0.0, 1.2, 0.0))
    _, second, forward, backward = pair(image, depth, mask, made)
    assert (second.labels == NO_LAYER).all()
    assert (forward.fate == reference.LEAVES).all()
    assert not backward.valid.any()
    rows, columns = common_window([second.labels])
    assert rows.stop - rows.start >= 0.6 * 96 - 1
    assert columns.stop - columns.start >= 0.6 * 128 - 1


def test_objects_move_on_their_own_and_the_nearer_one_is_in_front():
    height, width = 80, 120
    labels = np.zeros((height, width), np.uint8)
    labels[20:60, 20:45] = 1
    labels[20:60, 70:95] = 2
    depth = np.where(labels == 2, 0.9, np.where(labels == 1, 0.6, 0.1)).astype(np.float32)
    photo = separate_layers(picture(height, width, 8.0), depth, labels)
    assert [layer.label for layer in photo.layers] == [0, 1, 2]
    right, left = motion(object_translation=(0.5, 0.0, 0.0)), motion(object_translation=(-0.35, 0.0, 0.0))
    first, second = photo_view(photo, picture(height, width, 8.0)), render_view(photo, [right, left])
    forward = flow_between(photo, first, second)
    assert (forward.flow[labels == 1, 0] > 5).all()
    assert (forward.flow[labels == 2, 0] < -5).all()
    assert not forward.flow[labels == 0].any()
    met = (forward.fate == reference.HIDDEN) & (labels == 1)
    assert met.sum() > 100
    assert (forward.fate[labels == 2] == reference.VISIBLE).all()


def test_motions_without_size_or_for_too_few_objects_are_refused():
    image, depth, mask = scene()
    labels = (mask > 127).astype(np.uint8)
    labels[:5, :5] = 2
    photo = separate_layers(image, depth, labels)
    with pytest.raises(FlowsimError, match="unresolved"):
        render_view(photo, [motion(scale=-1.0)])
    with pytest.raises(FlowsimError, match="1 motions for 2 objects"):
        render_view(photo, [DRIFT])
    labels[labels == 1] = 3  # a gap: the motion of object 3 is missing, although there are as many motions as objects
    with pytest.raises(FlowsimError, match="2 motions for 3 objects"):
        render_view(separate_layers(image, depth, labels), [DRIFT, DRIFT])


@pytest.mark.parametrize(
    "device",
    [
        pytest.param("tensors", id="cpu"),
        pytest.param("cuda", marks=pytest.mark.gpu),
    ],
)
@pytest.mark.parametrize("made", [DRIFT, BENDING, motion(rotation=(0.0, 0.1, 0.0))], ids=["rigid", "deformed", "pan"])
def test_tensors_give_the_frame_that_the_compiled_loops_give(made, device, monkeypatch):
    image, depth, mask = scene()
    labels = (mask > 127).astype(np.uint8)
    photo = separate_layers(image, depth, labels, mask)
    expected = make_clip(image, photo, [made])
    if device == "tensors":  # the steps for tensors, on tensors of the CPU
        monkeypatch.setattr("flowsim.rendering._steps", lambda _: rendering_torch)
        device = "cpu"
    found = make_clip(image, photo, [made], device=device)
    assert (found.labels != expected.labels).mean() < 1e-3
    assert (np.abs(found.images.astype(int) - expected.images) > 1).mean() < 1e-3
    for one, other in zip((*found.forward, *found.backward), (*expected.forward, *expected.backward), strict=True):
        assert (one.fate != other.fate).mean() < 2e-3
        same = (one.valid == other.valid) & (one.fate == other.fate)
        assert np.percentile(np.abs(one.flow - other.flow)[same], 99.9) < 1e-3
