"""Motion models as files: they survive JSON and TOML, and faults in them are named."""

import json
import math
import re
import tomllib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flowsim import FlowsimError, MotionPrior, Shot
from flowsim.prior import PRESETS, quantile
from flowsim.prior_toml import to_toml


@pytest.mark.parametrize("preset", PRESETS)
def test_prior_survives_json_and_toml(preset):
    prior = MotionPrior.preset(preset)
    assert MotionPrior.from_dict(json.loads(json.dumps(prior.to_dict()))) == prior
    assert MotionPrior.from_dict(tomllib.loads(to_toml(prior, "two\nlines"))) == prior
    assert prior != replace(prior, name="other")


def test_prior_written_by_hand_takes_defaults_and_whole_numbers():
    prior = MotionPrior.from_dict({"name": "mine", "shots": [{"fov_deg": 50, "far": [3, 5], "percentile": 50}]})
    assert prior.shots == (Shot(fov_deg=(50.0,), far=(3.0, 5.0), percentile=50.0),)


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"name": "x", "shots": []}, "no shot of positive weight"),
        ({"name": "x", "shots": [{"weight": 0}]}, "no shot of positive weight"),
        ({"name": "x", "shots": [{"weight": -1}]}, "Shot.weight holds"),
        ({"name": "x", "shots": [{"speed": 1}]}, "Shot has no speed; it has: model"),
        ({"name": "x", "shots": [{}], "shot": 1}, "MotionPrior has no shot"),
        ({"name": "x", "shots": None}, "MotionPrior.shots is None, expected a list of tables"),
        ({"name": "x", "shots": [[]]}, "MotionPrior.shots is [[]], expected a list of tables"),
        ({"name": "x"}, "needs `name` and `shots`"),
        ({"name": "x", "shots": [{"fov_deg": [0, 60]}]}, "Shot.fov_deg holds"),
        ({"name": "x", "shots": [{"fov_deg": []}]}, "Shot.fov_deg is empty, expected at least one quantile"),
        ({"name": "x", "shots": [{"far": [0.5]}]}, "Shot.far holds"),
        ({"name": "x", "shots": [{"far": [3, math.inf]}]}, "finite floats"),
        ({"name": "x", "shots": [{"magnitude": [0.2, 0.1]}]}, "ascending order"),
        ({"name": "x", "shots": [{"rotation": [[0], [0]]}]}, "expected three lists of quantiles"),
        ({"name": "x", "shots": [{"rotation": [[0], ["a"], [0]]}]}, "Shot.rotation has 'a' where a number"),
        ({"name": "x", "shots": [{"rotation": 3}]}, "Shot.rotation is 3, expected three lists"),
        ({"name": "x", "shots": [{"model": "spline"}]}, "expected one of parallax, rigid"),
    ],
)
def test_prior_that_makes_no_sense_is_named(plain, message):
    with pytest.raises(FlowsimError, match=re.escape(message)):
        MotionPrior.from_dict(plain)


def test_davis_small_is_davis_with_objects_as_small_as_in_its_videos():
    small, davis = (MotionPrior.preset(name) for name in ("davis-small", "davis"))
    assert replace(small, name="davis", object_area=()) == davis
    assert 0.01 < small.object_area[0] < small.object_area[-1] < 0.25


def test_unknown_preset_lists_those_that_are():
    with pytest.raises(FlowsimError, match=r"no motion preset 'pan'; there are: parallax, camera, camera\+object"):
        MotionPrior.preset("pan")


@example([-1.0, 0.0, 3.0], 1.0)
@given(st.lists(st.floats(-10, 10), min_size=1, max_size=7).map(sorted), st.floats(0, 1))
def test_quantiles_are_a_piecewise_linear_distribution(values, probability):
    expected = np.interp(probability, np.linspace(0, 1, len(values)), values) if len(values) > 1 else values[0]
    np.testing.assert_allclose(quantile(tuple(values), probability), expected, atol=1e-9)


def test_the_area_of_objects_is_kept_and_checked():
    prior = MotionPrior("mine", (Shot(),), object_area=(0.02, 0.05, 0.2))
    assert MotionPrior.from_dict(json.loads(json.dumps(prior.to_dict()))) == prior
    assert MotionPrior.from_dict(tomllib.loads(to_toml(prior, "x"))) == prior
    assert set(MotionPrior("mine", (Shot(),)).to_dict()) == {"name", "shots"}  # as in datasets made before
    with pytest.raises(FlowsimError, match=r"MotionPrior\.object_area holds \(0.0, 0.5\), expected finite floats in"):
        replace(prior, object_area=(0.0, 0.5))
    with pytest.raises(FlowsimError, match=r"MotionPrior\.object_area has 'small' where a number is expected"):
        MotionPrior.from_dict({**prior.to_dict(), "object_area": "small"})
