"""What a flow has beyond rigid motion: displacement fields, blur, and draws that are reflected."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d

from flowsim import MotionPrior, MotionSample, Shot, resynthesize_flow, sample_motion, simulate_flow, statistics
from flowsim.deformation import waves

DEPTH = np.linspace(0, 1, 90, dtype=np.float32)[:, None].repeat(120, 1)
MASK = np.zeros(DEPTH.shape, bool)
MASK[20:70, 40:90] = True
PAN = MotionPrior("pan", (Shot(rotation=((0.0,), (1.0,), (0.0,)), magnitude=(0.05,)),))


def made(**changes):
    """A motion of known size that changes nothing but what is given."""
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


def test_object_and_background_are_deformed_as_much_as_asked():
    sizes = []
    for seed in range(40):
        motion = made(object_deformation=0.02, background_deformation=0.005, wave_seed=seed)
        flow = simulate_flow(DEPTH, MASK, motion).flow
        sizes.append([(flow[region] ** 2).sum(-1).mean() for region in (MASK, ~MASK)])
    np.testing.assert_allclose(np.sqrt(np.mean(sizes, 0)), [0.02 * 120, 0.005 * 120], rtol=0.15)
    alone = simulate_flow(DEPTH, MASK, made(object_deformation=0.02, wave_seed=3)).flow
    assert (alone[~MASK] == 0).all()
    assert np.abs(alone[MASK]).max() > 1


def test_blur_is_a_gaussian_of_the_asked_width():
    motion = made(object_deformation=0.02, wave_seed=7)
    sharp, soft = (simulate_flow(DEPTH, MASK, replace(motion, blur=blur)).flow for blur in (0.0, 0.015))
    sigma_px = 0.015 * 120
    weights = np.exp(-0.5 * (np.arange(-6, 7) / sigma_px) ** 2)
    weights /= weights.sum()
    expected = correlate1d(
        correlate1d(sharp.astype(np.float64), weights, 0, mode="nearest"), weights, 1, mode="nearest"
    )
    np.testing.assert_allclose(soft, expected, atol=1e-4)


def test_blurred_borders_stand_out_less():
    shot = Shot(object_translation=((1.0,), (0.0,), (0.0,)), magnitude=(0.05,), far=(5.0,), blur=(0.0,))
    sharp, soft = (
        simulate_flow(DEPTH, MASK, sample_motion(MotionPrior("x", (each,)), 0, "x", 0)).flow
        for each in (shot, replace(shot, blur=(0.02,)))
    )
    assert statistics(soft, MASK).edge_ratio < 0.5 * statistics(sharp, MASK).edge_ratio
    np.testing.assert_allclose(soft[45, 65], sharp[45, 65], rtol=0.05)  # inside it is what it was


@pytest.mark.parametrize("index", range(3))
def test_tensors_give_the_same_flow(index):
    prior = MotionPrior.preset("davis")
    motions = [simulate_flow(DEPTH, MASK, sample_motion(prior, index, str(i), 0)) for i in range(3)]
    assert any(each.motion.blur > 0 for each in motions)
    stacked = (torch.from_numpy(np.stack([plane] * 3)) for plane in (DEPTH, MASK))
    depth, mask = stacked
    again = resynthesize_flow(depth, [each.motion for each in motions], mask)
    for flow, each in zip(again.flow.numpy(), motions, strict=True):
        np.testing.assert_allclose(flow, each.flow, atol=1e-3)


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


def test_stored_seed_of_the_displacement_is_exact():
    motion = made(object_deformation=0.01, wave_seed=2**53 - 1)
    assert MotionSample.from_vector(motion.to_vector()).wave_seed == 2**53 - 1
