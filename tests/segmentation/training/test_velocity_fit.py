"""The steadiness of velocities is found again in videos whose velocities are drawn from a known process."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import flowsim.paths
from segmentation.errors import FlowError
from segmentation.training.motion_fit import Field
from segmentation.training.velocity_fit import fit_steadiness, steadiness_of, velocities_of
from tests.test_figures import RESULTS

SIDE = 40.0


def process(random: np.random.Generator, steps: int, persistence: float, spread: float) -> np.ndarray:
    """Return (steps,2): velocity around (3, 4), a length of 5."""
    error = np.zeros((steps, 2))
    error[0] = random.standard_normal(2)
    for step in range(1, steps):
        error[step] = persistence * error[step - 1] + np.sqrt(1 - persistence**2) * random.standard_normal(2)
    return np.array([3.0, 4.0]) + 5 * spread * error


def video(name: str, camera: np.ndarray, own: np.ndarray) -> Iterator[tuple[str, Field]]:
    """Yield fields of a moving background and an object, with outliers that a median ignores."""
    for background, relative in zip(camera, own, strict=True):
        flow = np.broadcast_to(background, (20, 40, 2)).astype(np.float32)
        mask = np.zeros((20, 40), bool)
        mask[5:15, 10:20] = True
        flow[mask] += relative.astype(np.float32)
        flow[:3], flow[6, 10:20], flow[19, 39] = 300, -300, np.nan
        yield name, (flow, mask, SIDE)


def test_velocities_are_medians_relative_to_the_longer_side() -> None:
    random = np.random.default_rng(0)
    camera, own = random.normal(0, 4, (6, 2)), random.normal(0, 4, (6, 2))
    (velocity,) = velocities_of(video("one", camera, own)).values()
    np.testing.assert_allclose(velocity[:, 0], camera[:5] / SIDE, rtol=1e-5)  # the last frame's flow leads back
    np.testing.assert_allclose(velocity[:, 1], own[:5] / SIDE, rtol=1e-4, atol=1e-6)


def test_a_video_ends_where_its_object_disappears() -> None:
    fields = list(video("one", np.ones((9, 2)), np.ones((9, 2))))
    fields[4][1][1][:] = False
    assert velocities_of(fields)["one"].shape == (4, 2, 2)


@pytest.mark.parametrize(("persistence", "spread"), [(0.9, 0.5), (0.5, 1.5)])
def test_the_process_is_found_again(persistence: float, spread: float) -> None:
    velocity = process(np.random.default_rng(1), 20_000, persistence, spread)
    assert steadiness_of(velocity) == pytest.approx((persistence, spread), rel=0.05)


def test_medians_over_videos_tell_camera_and_object_apart() -> None:
    random = np.random.default_rng(2)
    videos = [
        video(name, process(random, 600, persistence, 0.7), process(random, 600, 0.6, 0.3))
        for name, persistence in (("a", 0.1), ("b", 0.5), ("c", 0.7))
    ]
    short = video("short", np.ones((5, 2)), np.ones((5, 2)))
    found = fit_steadiness(field for fields in (*videos, short) for field in fields)
    assert set(found) == {"a", "b", "c", "median"}
    assert found["median"]["camera"] == pytest.approx((0.5, 0.7), rel=0.15)
    assert found["median"]["object"] == pytest.approx((0.6, 0.3), rel=0.15)


def test_too_short_videos_are_refused() -> None:
    with pytest.raises(FlowError, match="no video has 8 consecutive flow fields with an object"):
        fit_steadiness(video("short", np.ones((5, 2)), np.ones((5, 2))))


def test_the_constants_of_paths_are_the_measured_medians() -> None:
    median = RESULTS["steadiness"]["median"]
    for part, constant in (("camera", flowsim.paths._CAMERA), ("object", flowsim.paths._OBJECT)):
        assert constant._asdict() == pytest.approx(median[part], abs=0.005)
