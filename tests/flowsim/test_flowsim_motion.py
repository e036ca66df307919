"""Drawn motions, and the flow of one photo under a drawn motion."""

import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsim import FlowsimError, MotionPrior, MotionSample, Shot, sample_motion, simulate_flow
from flowsim.prior import PRESETS
from tests.flowsim.flow_reference import flow_of_photo, rotation_matrix

presets = pytest.mark.parametrize("preset", PRESETS)


def photo(height=60, width=80):
    """Return inverse depth and mask of a floor that comes nearer, and of a round object on it."""
    rows, columns = np.mgrid[:height, :width]
    mask = np.hypot(rows - 0.5 * height, columns - 0.6 * width) < 0.25 * height
    depth = np.where(mask, 0.8 + 0.2 * columns / width, 0.7 * rows / height)
    depth = (depth - depth.min()) / (depth.max() - depth.min())
    return depth.astype(np.float32), mask


def drawn(preset, index=0, **changes):
    return replace(sample_motion(MotionPrior.preset(preset), 3, "photo", index), **changes)


def test_a_prior_may_be_a_mixture_of_shots():
    still, pan = Shot(weight=1.0, magnitude=(0.0,)), Shot(weight=3.0, rotation=((0.0,), (1.0,), (0.0,)))
    prior = MotionPrior("mixture", (still, pan))
    shots = [sample_motion(prior, 0, "photo", i).shot for i in range(500)]
    assert abs(np.mean(shots) - 0.75) < 0.06
    depth, _ = photo()
    first_still = shots.index(0)
    result = simulate_flow(depth, None, sample_motion(prior, 0, "photo", first_still))
    assert (result.flow == 0).all()
    assert result.motion.is_resolved


@presets
def test_motion_survives_vector_and_dict_exactly(preset):
    depth, mask = photo()
    for index in range(5):
        for motion in (drawn(preset, index), simulate_flow(depth, mask, drawn(preset, index)).motion):
            vector = motion.to_vector()
            assert vector.shape == (len(MotionSample.names),)
            assert vector.dtype == np.float64
            assert np.isfinite(vector).all()
            assert MotionSample.from_vector(vector) == motion
            assert MotionSample.from_dict(json.loads(json.dumps(motion.to_dict()))) == motion


def test_vector_of_wrong_length_or_kind_is_an_error():
    vector = drawn("camera").to_vector()
    with pytest.raises(FlowsimError, match=r"motion vector of shape \(27,\), expected \(28,\)"):
        MotionSample.from_vector(vector[1:])
    with pytest.raises(FlowsimError, match="finite numbers"):
        MotionSample.from_vector(np.full_like(vector, np.nan))
    with pytest.raises(FlowsimError, match="motion vector has model 7"):
        MotionSample.from_vector([7.0, *vector[1:]])
    with pytest.raises(FlowsimError, match="motion lacks fov_deg, far"):
        MotionSample.from_dict({k: v for k, v in drawn("camera").to_dict().items() if k not in ("far", "fov_deg")})


RECORDED = (0.006509132096133309, 44.33340061074381, -0.8644164699576651, 0.6815100550298776, 0.9747014925454749)


def test_draws_stay_what_they_were():
    # If these numbers change, no published dataset can be made again.
    motion = sample_motion(
        MotionPrior("record", (Shot(rotation=((-1.0, 1.0),) * 3),)), 42, "ILSVRC2012_test_00000004", 1
    )
    assert (motion.magnitude, motion.fov_deg, *motion.rotation) == pytest.approx(RECORDED, abs=0, rel=1e-15)


@pytest.mark.parametrize(("seed", "index"), [(-1, 0), (2**64, 0), (0, -1), (0, 2**64)])
def test_seed_and_index_out_of_range_are_errors(seed, index):
    with pytest.raises(FlowsimError, match=r"expected an integer from 0 to 2\*\*64 - 1"):
        sample_motion(MotionPrior.preset("camera"), seed, "x", index)


@presets
def test_percentile_of_the_flow_is_the_drawn_number_of_pixels(preset):
    depth, mask = photo(240, 320)
    reached = []
    for index in range(40):
        motion = drawn(preset, index)
        result = simulate_flow(depth, mask, motion)
        assert result.valid.all()
        magnitude = np.hypot(result.flow[..., 0], result.flow[..., 1])
        assert magnitude.max() <= 1.1 * motion.largest * 320
        reached.append(np.percentile(magnitude, motion.percentile) / (motion.magnitude * 320))
    assert np.mean(np.abs(np.array(reached) - 1) < 0.03) >= 0.9
    assert max(reached) < 1.1


def test_largest_flow_bounds_the_whole_motion():
    depth = np.zeros((100, 100), np.float32)
    depth[:5, :5] = 1  # a near corner that would move 30 times as far as the rest
    motion = drawn(
        "camera", translation=(1.0, 0.0, 0.0), rotation=(0.0, 0.0, 0.0), far=30.0, magnitude=0.1, largest=0.3
    )
    flow = simulate_flow(depth, None, motion).flow
    assert 29 < np.abs(flow).max() < 30.1


@presets
def test_flow_is_the_same_at_any_size_of_the_picture(preset):
    depth, mask = photo(60, 80)
    motion = simulate_flow(depth, mask, drawn(preset)).motion
    small = simulate_flow(depth, mask, motion).flow
    large = simulate_flow(depth.repeat(4, 0).repeat(4, 1), mask.repeat(4, 0).repeat(4, 1), motion).flow
    # Compare means over blocks of 16 pixels, because soft borders differ within a block.
    means = large.reshape(60, 4, 80, 4, 2).mean((1, 3))
    np.testing.assert_allclose(means / 4, small, atol=0.02 * np.abs(small).max() + 0.02)


@presets
def test_stored_motion_and_depth_make_the_flow_again(preset):
    depth, mask = photo(120, 160)
    stored_depth = (np.rint(depth * 65535) / np.float32(65535)).astype(np.float32)
    for index in range(5):
        first = simulate_flow(depth, mask, drawn(preset, index))
        again = simulate_flow(depth, mask, MotionSample.from_vector(first.motion.to_vector()))
        assert np.array_equal(first.flow, again.flow)
        assert again.motion == first.motion
        from_store = simulate_flow(stored_depth, mask, first.motion)
        np.testing.assert_allclose(from_store.flow, first.flow, atol=5e-3)


@presets
def test_threads_and_memory_layout_do_not_change_a_bit(preset):
    depth, mask = photo(120, 160)
    alone = [simulate_flow(depth, mask, drawn(preset, i)) for i in range(16)]
    with ThreadPoolExecutor(4) as pool:
        together = list(
            pool.map(lambda i: simulate_flow(np.asfortranarray(depth), mask.T.copy().T, drawn(preset, i)), range(16))
        )
    for first, second in zip(alone, together, strict=True):
        assert np.array_equal(first.flow, second.flow)
        assert np.array_equal(first.valid, second.valid)
        assert first.motion == second.motion


@pytest.mark.parametrize("index", range(4))
def test_rigid_flow_is_that_of_the_slow_reference(index):
    depth, _ = photo(30, 40)
    mask = np.zeros((30, 40), bool)
    mask[3:9, 24:36], mask[9:20, 24:28] = True, True  # an L, off the middle in both directions
    motion = drawn("camera+object", index)
    result = simulate_flow(depth, mask, motion)
    size, nearest_part = result.motion.scale, 1 / motion.far
    inverse_depth = nearest_part + (1 - nearest_part) * depth.astype(np.float64)
    rotation, translation, turn, push = (
        size * np.array(part)
        for part in (motion.rotation, motion.translation, motion.object_rotation, motion.object_translation)
    )
    still = np.zeros_like(mask)
    background, _ = flow_of_photo(inverse_depth, motion.fov_deg, rotation, translation, still, turn, push)
    np.testing.assert_allclose(result.flow[~mask], background[~mask], atol=1e-3)
    # The object's centre: mean column and row, at the mean inverse depth.
    distance = 1 / inverse_depth[mask].mean()
    rows, columns = np.nonzero(mask)
    focal = 20 / math.tan(math.radians(motion.fov_deg) / 2)
    centre = distance * np.array([(columns.mean() - 19.5) / focal, (rows.mean() - 14.5) / focal, 1])
    np.testing.assert_allclose(result.motion.pivot, centre, rtol=1e-6)
    # It turns about its centre, and moves by parts of its distance: X -> R (X - centre) + centre + distance t.
    own_translation = centre - rotation_matrix(turn) @ centre + distance * push
    both, _ = flow_of_photo(inverse_depth, motion.fov_deg, rotation, translation, mask, turn, own_translation)
    np.testing.assert_allclose(result.flow[mask], both[mask], atol=1e-3)


def test_parallax_is_depth_from_the_zero_plane_times_one_vector():
    depth, _ = photo()
    motion = simulate_flow(depth, None, drawn("parallax", zero_plane=0.25)).motion
    flow = simulate_flow(depth, None, motion).flow
    expected = (depth[..., None].astype(np.float64) - 0.25) * np.array(motion.translation[:2]) * 80
    np.testing.assert_allclose(flow, expected, atol=1e-5)


@pytest.mark.parametrize(("direction_deg", "expected"), [(0.0, (1, 0)), (90.0, (0, 1)), (180.0, (-1, 0))])
def test_direction_of_a_parallax_is_where_near_points_go(direction_deg, expected):
    depth, _ = photo()
    shot = Shot(model="parallax", zero_plane=(0.0,), direction_deg=(direction_deg,), magnitude=(0.05,))
    flow = simulate_flow(depth, None, sample_motion(MotionPrior("x", (shot,)), 0, "x", 0)).flow
    nearest = flow.reshape(-1, 2)[depth.argmax()]
    np.testing.assert_allclose(nearest / np.hypot(*nearest), expected, atol=1e-5)


def test_camera_that_follows_keeps_the_object_in_place():
    depth, mask = photo(120, 160)
    shot = Shot(object_translation=((1.0,), (0.5,), (0.0,)), follow=(1.0,), magnitude=(0.05,), far=(10.0,))
    result = simulate_flow(depth, mask, sample_motion(MotionPrior("follow", (shot,)), 0, "x", 0))
    magnitude = np.hypot(result.flow[..., 0], result.flow[..., 1])
    assert magnitude[mask].mean() < 0.2 * magnitude[~mask].mean()
    # The object goes right and down, so the background goes left and up.
    assert result.flow[~mask][:, 0].mean() < -4
    assert result.flow[~mask][:, 1].mean() < -2


def test_mask_without_object_leaves_the_camera_alone():
    depth, _ = photo()
    motion = drawn("camera+object")
    result = simulate_flow(depth, np.zeros_like(depth, bool), motion)
    camera_only = replace(motion, object_rotation=(0.0,) * 3, object_translation=(0.0,) * 3)
    # The motion of the absent object still bounds the search for the size.
    np.testing.assert_allclose(result.flow, simulate_flow(depth, None, camera_only).flow, rtol=5e-3, atol=1e-3)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(PRESETS),
    st.integers(0, 10**6),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from(["noise", "flat far", "flat near", "one near"]),
)
def test_any_photo_gets_a_finite_flow(preset, index, size, kind):
    depth = {
        "noise": np.random.default_rng(index).random(size, np.float32),
        "flat far": np.zeros(size, np.float32),
        "flat near": np.ones(size, np.float32),
        "one near": np.pad(np.ones((1, 1), np.float32), ((0, size[0] - 1), (0, size[1] - 1))),
    }[kind]
    mask = depth > 0.5
    result = simulate_flow(depth, mask, drawn(preset, index))
    assert result.flow.shape == (*size, 2)
    assert np.isfinite(result.flow).all()
    assert result.motion.is_resolved


DEPTH, MASK = photo(4, 5)


@pytest.mark.parametrize(
    ("depth", "mask", "message"),
    [
        (DEPTH[None], MASK, r"normalized_inverse_depth is float32 of shape \(1, 4, 5\), expected float32 \(h,w\)"),
        (DEPTH.astype(np.float64), MASK, "normalized_inverse_depth is float64"),
        (DEPTH[:0], MASK[:0], "not empty"),
        (DEPTH + 0.1, MASK, r"values that are not in \[0, 1\]; normalise it per photo"),
        (np.full_like(DEPTH, np.nan), MASK, "has 20 values"),
        (np.full_like(DEPTH, np.inf), MASK, "has 20 values"),
        (DEPTH, None, "give its mask"),
        (DEPTH, MASK[:3], r"mask is bool of shape \(3, 5\), expected bool of the depth's shape \(4, 5\)"),
        (DEPTH, MASK.astype(np.uint8), "threshold grey masks first"),
    ],
)
def test_photo_that_cannot_be_used_is_named(depth, mask, message):
    with pytest.raises(FlowsimError, match=message):
        simulate_flow(depth, mask, drawn("camera+object"))
