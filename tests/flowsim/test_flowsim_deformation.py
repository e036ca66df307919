"""Flow beyond rigid motion: displacement fields and blur; reflected draws."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import correlate1d

from flowsim import MotionPrior, MotionSample, Shot, measure_flow, sample_motion, simulate_flow
from flowsim.deformation import waves

DEPTH = np.linspace(0, 1, 90, dtype=np.float32)[:, None].repeat(120, 1)
TILTED = np.ascontiguousarray((DEPTH + np.linspace(0, 1, 120, dtype=np.float32)) / 2)
MASK = np.zeros(DEPTH.shape, bool)
MASK[20:70, 40:90] = True
PAN = MotionPrior("pan", (Shot(rotation=((0.0,), (1.0,), (0.0,)), magnitude=(0.05,)),))


def deformed_motion(**changes):
    """Return a resolved motion in which nothing moves but what is given."""
    motion = simulate_flow(DEPTH, MASK, sample_motion(PAN, 1, "x", 0)).motion
    return replace(motion, rotation=(0.0,) * 3, **changes)


def test_displacement_has_the_asked_size_and_is_the_same_at_any_resolution():
    squares = []
    for seed in range(60):
        columns, rows = waves(seed, np.arange(-60, 60.0), np.arange(-45, 45.0), 120)
        field = rows @ columns
        squares.append((field**2).sum(0).mean())
        fine_columns, fine_rows = waves(seed, np.arange(-60, 60, 0.25) * 4, np.arange(-45, 45, 0.25) * 4, 480)
        np.testing.assert_allclose((fine_rows @ fine_columns)[:, ::4, ::4], field, atol=2e-3)
    assert np.sqrt(np.mean(squares)) == pytest.approx(1, abs=0.1)
    assert np.std(squares) > 0.1  # fields of different seeds differ


def test_displacement_of_an_upright_picture_is_that_of_the_square_around_it():
    square_columns, square_rows = waves(3, np.arange(-60, 60.0), np.arange(-60, 60.0), 120)
    columns, rows = waves(3, np.arange(-30, 30.0), np.arange(-60, 60.0), 120)
    np.testing.assert_allclose(rows @ columns, (square_rows @ square_columns)[..., 30:90], atol=1e-5)


def test_object_and_background_are_deformed_as_much_as_asked():
    sizes = []
    for seed in range(40):
        motion = deformed_motion(object_deformation=0.02, background_deformation=0.005, wave_seed=seed)
        flow = simulate_flow(DEPTH, MASK, motion).flow
        sizes.append([(flow[region] ** 2).sum(-1).mean() for region in (MASK, ~MASK)])
    np.testing.assert_allclose(np.sqrt(np.mean(sizes, 0)), [0.02 * 120, 0.005 * 120], rtol=0.15)
    alone = simulate_flow(DEPTH, MASK, deformed_motion(object_deformation=0.02, wave_seed=3)).flow
    assert (alone[~MASK] == 0).all()
    assert np.abs(alone[MASK]).max() > 1


@pytest.mark.parametrize(
    "parts",
    [
        {"object_deformation": 0.02, "wave_seed": 7},
        {"translation": (0.05, 0.0, 0.1), "object_translation": (0.0, 0.1, 0.0)},
    ],
    ids=["of what bends", "of rigid motion"],
)
def test_blur_is_a_gaussian_of_the_asked_width(parts):
    motion = deformed_motion(**parts)
    sharp, soft = (simulate_flow(DEPTH, MASK, replace(motion, blur=blur)).flow for blur in (0.0, 0.015))
    sigma_px = 0.015 * 120
    weights = np.exp(-0.5 * (np.arange(-6, 7) / sigma_px) ** 2)
    weights /= weights.sum()
    expected = correlate1d(
        correlate1d(sharp.astype(np.float64), weights, 0, mode="nearest"), weights, 1, mode="nearest"
    )
    assert np.abs(soft - sharp).max() > 0.5
    np.testing.assert_allclose(soft, expected, atol=1e-4)


@pytest.mark.parametrize("softened", [{"blur": 0.015}, {"background_deformation": 0.02, "wave_seed": 7}])
def test_flow_of_what_falls_behind_the_camera_stays_zero(softened):
    # The nearest rows come to lie behind a camera that moves forward by more than their depth.
    result = simulate_flow(DEPTH, None, deformed_motion(translation=(0.1, 0.0, -2.0), **softened))
    assert 0.1 < result.valid.mean() < 0.9
    assert (result.flow[~result.valid] == 0).all()
    assert np.abs(result.flow[result.valid]).max() > 1


def test_deformation_alone_gets_the_drawn_size():
    for part in ("object_deformation", "background_deformation"):
        shot = Shot(**{part: (0.5,)}, magnitude=(0.03,))
        result = simulate_flow(DEPTH, MASK, sample_motion(MotionPrior("bend", (shot,)), 1, "x", 0))
        length = np.hypot(result.flow[..., 0], result.flow[..., 1])
        assert np.percentile(length, 90) == pytest.approx(0.03 * 120, rel=0.05)
        assert getattr(result.motion, part) == pytest.approx(0.5 * result.motion.scale)


def test_blurred_borders_stand_out_less():
    shot = Shot(object_translation=((1.0,), (0.0,), (0.0,)), magnitude=(0.05,), far=(5.0,), blur=(0.0,))
    sharp, soft = (
        simulate_flow(DEPTH, MASK, sample_motion(MotionPrior("x", (each,)), 0, "x", 0)).flow
        for each in (shot, replace(shot, blur=(0.02,)))
    )
    assert measure_flow(soft, MASK).edge_ratio < 0.5 * measure_flow(sharp, MASK).edge_ratio
    np.testing.assert_allclose(soft[45, 65], sharp[45, 65], rtol=0.05)  # the inside is unchanged


def test_old_presets_are_neither_deformed_nor_blurred():
    for name in ("parallax", "camera", "camera+object"):
        motion = sample_motion(MotionPrior.preset(name), 0, "x", 0)
        assert not motion.is_deformed
        assert motion.blur == 0


def test_mirrored_shots_go_left_as_often_as_right_with_the_object_against_them():
    shot = Shot(rotation=((0.0,), (0.5, 1.0), (0.0,)), object_translation=((-1.0, -0.5), (0.0,), (0.0,)), mirrored=True)
    drawn = [sample_motion(MotionPrior("x", (shot,)), 0, "photo", index) for index in range(400)]
    pans = np.array([motion.rotation[1] for motion in drawn])
    assert abs((pans > 0).mean() - 0.5) < 0.1
    assert all(motion.rotation[1] * motion.object_translation[0] < 0 for motion in drawn)
    one_sided = sample_motion(MotionPrior("x", (replace(shot, mirrored=False),)), 0, "photo", 0)
    assert one_sided.rotation[1] == abs(drawn[0].rotation[1])


def test_a_mirrored_shot_of_a_mirrored_photo_gives_the_mirrored_flow():
    both_ways = ((-1.0, 1.0),) * 3
    shot = Shot(rotation=both_ways, translation=both_ways, object_rotation=both_ways, object_translation=both_ways)
    sides = set()
    for index in range(12):
        plain, mirrored = (
            simulate_flow(depth, mask, sample_motion(MotionPrior("x", (each,)), 0, "photo", index))
            for each, depth, mask in (
                (shot, TILTED, MASK),
                (replace(shot, mirrored=True), TILTED[:, ::-1], MASK[:, ::-1]),
            )
        )
        is_reflected = mirrored.motion.translation[0] * plain.motion.translation[0] < 0
        sides.add(is_reflected)
        if is_reflected:
            expected = plain.flow[:, ::-1] * np.float32([-1, 1])
            # The motion's size is measured on a grid, which limits the accuracy.
            np.testing.assert_allclose(mirrored.flow, expected, atol=5e-3 * np.abs(expected).max())
    assert sides == {True, False}


def test_stored_seed_of_the_displacement_is_exact():
    motion = deformed_motion(object_deformation=0.01, wave_seed=2**53 - 1)
    assert MotionSample.from_vector(motion.to_vector()).wave_seed == 2**53 - 1
