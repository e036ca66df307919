"""Estimators on machines with other devices."""

from __future__ import annotations

import numpy as np

from segmentation.flow.estimators import load_estimator
from segmentation.flow.settings import EstimatorSettings
from tests.segmentation.stand_in_raft import moving_texture


def test_dis_computes_on_the_cpu_of_a_machine_with_a_gpu_and_gives_the_same() -> None:
    frames = moving_texture(3)
    pairs = [(0, 1), (1, 2)]
    flows = {}
    for device in ("cpu", "cuda"):
        estimator = load_estimator(EstimatorSettings(flow="dis"), device)
        assert estimator.precision == "float32"
        flows[device] = list(estimator.stream(iter(frames), pairs))
    assert np.array_equal(flows["cpu"], flows["cuda"])
