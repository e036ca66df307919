"""Fitting of a prior: its flow has the statistics of the given flow, and its file describes it."""

import tomllib

import numpy as np
import pytest

from flowsim import FlowsimError, MotionPrior, Shot, distance, sample_motion, simulate_flow
from flowsim.comparison import at_scale, statistics_at_scale
from flowsim.fit import _shot, fit_prior
from flowsim.inversion import FIT_GRID, REFLECTION, Scene, _reflected_to_right, _simulate, invert
from flowsim.prior_toml import in_words, to_toml

STILL = Shot(
    object_translation=((0.8, 1.0), (-0.1, 0.1), (0.0,)),
    object_deformation=(0.05, 0.2),
    background_deformation=(0.005, 0.01),
    magnitude=(0.01, 0.03),
    blur=(0.005, 0.01),
    mirrored=True,
)
PAN = Shot(
    rotation=((-0.05, 0.05), (0.8, 1.0), (0.0,)),
    translation=((-0.2, 0.2), (0.0,), (-0.1, 0.1)),
    object_translation=((-0.6, -0.4), (-0.1, 0.1), (0.0,)),
    magnitude=(0.02, 0.06),
    blur=(0.005, 0.01),
    mirrored=True,
)


def scenes(count, seed):
    """Return floors with an object of some size at some place."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:36, :48]
    found = []
    for _ in range(count):
        y, x, radius = random.uniform(10, 26), random.uniform(12, 36), random.uniform(5, 11)
        mask = np.hypot(rows - y, columns - x) < radius
        depth = np.where(mask, random.uniform(0.5, 1), random.uniform(0.2, 0.7) * rows / 36).astype(np.float32)
        found.append(Scene(depth / depth.max(), mask))
    return found


def fields(prior, some, seed):
    return [
        statistics_at_scale(simulate_flow(*scene, sample_motion(prior, seed, str(i), 0)).flow, scene.mask, 48, FIT_GRID)
        for i, scene in enumerate(some)
    ]


def test_fit_comes_close_to_flow_of_any_kind():
    prior = MotionPrior("true", (PAN, STILL))
    real, held_out = (fields(prior, scenes(25, seed), seed) for seed in (1, 2))
    progress = []
    fitted = fit_prior("mine", real, scenes(30, 3), types=2, progress=lambda *done: progress.append(done))
    assert fitted.name == "mine"
    assert 1 <= len(fitted.shots) <= 2
    assert {to_do for to_do, _ in progress} == {progress[-1][1]}
    floor = distance(held_out, real)
    found = {
        name: np.mean([value / floor[key] for key, value in distance(held_out, fields(each, scenes(50, 4), 5)).items()])
        for name, each in {"fitted": fitted, "not": MotionPrior.preset("camera+object")}.items()
    }
    assert found["fitted"] < 0.6 * found["not"]
    plain = tomllib.loads(to_toml(fitted, "of a test"))
    assert MotionPrior.from_dict(plain) == fitted


@pytest.mark.slow
def test_the_same_arguments_give_the_same_prior():
    real = fields(MotionPrior("true", (PAN,)), scenes(20, 1), 0)
    first, again = (fit_prior("x", real, scenes(20, 2), types=1, seed=3) for _ in range(2))
    assert first == again


def test_features_of_real_fields_are_centred_and_of_unit_variance():
    # A feature that is not defined for a field counts as the mean, which is zero, when shots are clustered.
    real = fields(MotionPrior("true", (PAN, STILL)), scenes(5, 1), 0)
    found = invert(real, scenes(2, 2), 0, lambda done, total: None).features
    np.testing.assert_allclose(np.nanmean(found, 0), 0, atol=1e-9)
    spread = np.nanstd(found, 0)
    assert ((np.abs(spread - 1) < 1e-2) | (spread < 1e-6)).all()  # the same in all fields, or of unit variance


def test_too_little_to_fit_to_is_said():
    real = fields(MotionPrior("true", (PAN,)), scenes(20, 1), 0)
    with pytest.raises(FlowsimError, match=r"5 of 5 flow fields move .* expected at least 20: give more videos"):
        fit_prior("x", real[:5], scenes(20, 2))
    with pytest.raises(FlowsimError, match="3 photos with depth and an object; expected at least 20"):
        fit_prior("x", real, scenes(3, 2))


def test_shots_are_put_in_words():
    assert in_words(PAN) == "the camera turns after the object"
    assert in_words(STILL) == "the camera nearly stands still, the object moves"
    assert in_words(Shot(rotation=PAN.rotation)) == "the camera moves, the object hardly moves on its own"


def test_a_motion_reflected_left_to_right_gives_the_reflected_features():
    (scene,) = scenes(1, 7)
    mirrored = Scene(*(np.ascontiguousarray(plane[:, ::-1]) for plane in scene))
    motion = np.array([np.log(0.05), *(0.2, 0.5, -0.3), *(0.4, -0.2, 0.3), *(0.1, 0.4, 0.2), *(-0.7, 0.3, 0.2)])
    motion = np.concatenate([motion, np.log([1e-3, 1e-3, 5e-4, 5.0]), [55.0]])  # hardly any waves: they do not mirror
    made, found = _simulate(motion, scene, np.random.default_rng(0))
    made_there, found_there = _simulate(motion * REFLECTION, mirrored, np.random.default_rng(0))
    np.testing.assert_allclose(made_there, made * REFLECTION, rtol=1e-2, atol=1e-2)
    to_the_right, is_reflected = _reflected_to_right(np.stack([found, found_there]))
    assert is_reflected.sum() == 1
    np.testing.assert_allclose(*to_the_right, atol=0.05)


def test_a_shot_has_the_quantiles_of_each_of_its_motions_parameters():
    values = np.arange(18) / 10 - 5
    values[16:] = 1.5, 60
    shot = _shot(np.tile(values, (30, 1)), 0.25)
    logarithms = dict(magnitude=0, object_deformation=13, background_deformation=14, blur=15, far=16)
    axes = dict(rotation=1, translation=4, object_rotation=7, object_translation=10)
    assert shot.weight == 0.25
    assert shot.fov_deg == (60.0,) * 9
    for name, first in axes.items():
        assert getattr(shot, name) == tuple(
            (pytest.approx(values[first + axis], rel=1e-3),) * 9 for axis in range(3)
        ), name
    for name, place in logarithms.items():
        assert getattr(shot, name) == pytest.approx([np.exp(values[place])] * 9, rel=1e-3), name
    spread = _shot(np.tile(values, (101, 1)) + np.linspace(0, 1, 101)[:, None] * (np.arange(18) == 1), 1.0)
    assert (spread.rotation[0][0], spread.rotation[0][4], spread.rotation[0][8]) == pytest.approx((-4.88, -4.4, -3.92))


def test_fields_of_different_pictures_come_to_one_scale():
    flow = np.zeros((40, 60, 2), np.float32)
    flow[..., 0] = 3.0
    mask = np.zeros((40, 60), bool)
    mask[:20] = True
    small, small_mask = at_scale(flow, mask, 60, 30)
    assert small.shape == (20, 30, 2)
    assert (small_mask[:10].all(), small_mask[10:].any()) == (True, False)
    np.testing.assert_allclose(small[..., 0], 3 * 854 / 60, rtol=1e-6)
    smaller_than_its_picture, _ = at_scale(flow, mask, 427, 60)
    np.testing.assert_allclose(smaller_than_its_picture[..., 0], 6, rtol=1e-6)
    mask[20, :] = True  # a quarter, then three quarters of the cells of a grid of two rows
    for rows, covered in ((21, False), (31, True)):
        mask[:] = False
        mask[20:rows] = True
        assert at_scale(flow, mask, 60, 3)[1][1].all() == covered
    flow[:, 30:] = np.nan
    assert statistics_at_scale(flow, mask, 60, 30).magnitude_p50_px == pytest.approx(3 * 854 / 60)
