"""A prior fitted to flow has that flow's statistics, and says what it is."""

import tomllib

import numpy as np
import pytest

from flowsim import FlowsimError, MotionPrior, Shot, distance, sample_motion, simulate_flow
from flowsim.comparison import at_scale, statistics_at_scale
from flowsim.fit import fit_prior
from flowsim.inversion import FIT_GRID, Scene
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
    """Floors with an object of some size somewhere."""
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
    assert progress[-1][0] == progress[-1][1]
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


def test_too_little_to_fit_to_is_said():
    real = fields(MotionPrior("true", (PAN,)), scenes(20, 1), 0)
    with pytest.raises(FlowsimError, match=r"5 of 5 flow fields move .* expected at least 20: give more videos"):
        fit_prior("x", real[:5], scenes(20, 2))
    with pytest.raises(FlowsimError, match="3 photos with depth and an object; expected at least 20"):
        fit_prior("x", real, scenes(3, 2))


def test_shots_are_put_in_words():
    assert in_words(PAN) == "the camera turns after the object"
    assert in_words(STILL) == "the camera nearly stands still, the object moves"
    assert in_words(Shot(rotation=PAN.rotation)) == "the camera moves, the object hardly does by itself"


def test_fields_of_different_pictures_come_to_one_scale():
    flow = np.zeros((40, 60, 2), np.float32)
    flow[..., 0] = 3.0
    mask = np.zeros((40, 60), bool)
    mask[:20] = True
    small, small_mask = at_scale(flow, mask, 60, 30)
    assert small.shape == (20, 30, 2)
    assert (small_mask[:10].all(), small_mask[10:].any()) == (True, False)
    np.testing.assert_allclose(small[..., 0], 3 * 854 / 60, rtol=1e-6)
    flow[:, 30:] = np.nan
    assert statistics_at_scale(flow, mask, 60, 30).magnitude_p50_px == pytest.approx(3 * 854 / 60)
