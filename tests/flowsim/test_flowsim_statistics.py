"""Statistics of flow fields, against implementations of other libraries."""

import math

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import mannwhitneyu, wasserstein_distance

from flowsim import FlowsimError, distance, measure_flow


def field(seed=0, shift=(4.0, 1.0), offset=(3.0, 0.0), noise=0.5, size=(30, 40)):
    random = np.random.default_rng(seed)
    mask = np.zeros(size, bool)
    mask[8:20, 10:25] = True
    flow = np.where(mask[..., None], np.add(shift, offset), shift) + random.normal(size=(*size, 2)) * noise
    return flow.astype(np.float32), mask


def test_numbers_of_a_field_without_noise():
    flow, mask = field(noise=0)
    found = measure_flow(flow, mask)
    part = mask.mean()
    mean = np.array([4 + 3 * part, 1])
    assert found.magnitude_p10_px == pytest.approx(math.hypot(4, 1))
    assert found.magnitude_p90_px == pytest.approx(math.hypot(7, 1))
    assert found.relative_p10 == pytest.approx(math.hypot(4, 1) / math.hypot(7, 1))
    assert found.relative_p90 == 1
    assert found.axis_ratio == pytest.approx(mean[0])
    assert found.coherence == pytest.approx(
        math.hypot(*mean) / (part * math.hypot(7, 1) + (1 - part) * math.hypot(4, 1))
    )
    assert found.offset_px == pytest.approx(3)
    assert found.object_share == pytest.approx(math.hypot(7, 1) / (math.hypot(7, 1) + math.hypot(4, 1)))
    assert found.auc == 1
    assert math.isnan(found.separation)  # no spread
    assert math.isnan(found.edge_ratio)  # no difference elsewhere
    assert found.angles.sum() == pytest.approx(1)
    assert set(np.nonzero(found.angles)[0]) == {18, 19}  # 8 and 14 degrees


def test_directions_are_weighted_by_length():
    flow = np.zeros((1, 3, 2), np.float32)
    flow[0] = [[3, 0.1], [0.1, 1], [0, 0]]
    angles = measure_flow(flow, np.zeros((1, 3), bool)).angles
    assert dict(zip(np.nonzero(angles)[0].tolist(), angles[angles > 0].tolist(), strict=True)) == pytest.approx(
        {18: 0.75, 26: 0.25}, abs=0.002
    )


def test_separation_and_edges_of_a_noisy_field():
    flow, mask = field(noise=0.5)
    found = measure_flow(flow, mask)
    object_mean, background_mean = flow[mask].mean(0), flow[~mask].mean(0)
    residual = np.concatenate([flow[mask] - object_mean, flow[~mask] - background_mean])
    spread = math.sqrt((residual.astype(np.float64) ** 2).sum(1).mean())
    assert found.separation == pytest.approx(np.hypot(*(object_mean - background_mean)) / spread, rel=1e-4)
    edge, elsewhere = [], []
    for y in range(30):
        for x in range(40):
            for y2, x2 in ((y + 1, x), (y, x + 1)):
                if y2 < 30 and x2 < 40:
                    kind = edge if mask[y, x] != mask[y2, x2] else elsewhere
                    kind.append(math.hypot(*(flow[y, x].astype(float) - flow[y2, x2])))
    assert found.edge_ratio == pytest.approx(np.mean(edge) / np.mean(elsewhere), rel=1e-9)


@pytest.mark.parametrize("has_ties", [False, True])
def test_auc_is_the_mann_whitney_statistic(has_ties):
    flow, mask = field(1, offset=(0.3, 0.0), noise=1.0)
    if has_ties:
        flow = np.rint(flow)
    score = np.hypot(*np.moveaxis(flow - np.median(flow[~mask], axis=0), -1, 0))
    expected = mannwhitneyu(score[mask], score[~mask]).statistic / (mask.sum() * (~mask).sum())
    assert measure_flow(flow, mask).auc == pytest.approx(expected)


def test_invalid_pixels_do_not_count():
    flow, mask = field()
    inside = slice(2, 27), slice(5, 30)
    valid = np.zeros_like(mask)
    valid[inside] = True
    spoiled = np.where(valid[..., None], flow, np.float32(np.nan))
    found, expected = measure_flow(spoiled, mask, valid), measure_flow(flow[inside], mask[inside])
    for name, value in vars(expected).items():
        np.testing.assert_allclose(getattr(found, name), value, err_msg=name)


def test_fields_without_object_or_without_motion_have_undefined_numbers():
    flow, mask = field()
    alone = measure_flow(flow, np.zeros_like(mask))
    assert all(math.isnan(value) for value in (alone.offset_px, alone.separation, alone.object_share, alone.auc))
    still = measure_flow(np.zeros_like(flow), mask)
    assert still.magnitude_p90_px == 0
    assert still.auc == 0.5
    assert all(math.isnan(value) for value in (still.coherence, still.axis_ratio, still.relative_p50, still.angles[0]))


def test_distance_is_wasserstein_and_jensen_shannon():
    real = [measure_flow(*field(i, shift=(4 + i, 1))) for i in range(5)]
    simulated = [measure_flow(*field(i + 50, shift=(2, 2 + i), noise=1)) for i in range(8)]
    found = distance(real, simulated)
    for name, value in found.items():
        if name == "angles":
            p, q = (np.mean([each.angles for each in group], 0) for group in (real, simulated))
            assert value == pytest.approx(jensenshannon(p, q, 2) ** 2)
        else:
            values = [[getattr(each, name) for each in group] for group in (real, simulated)]
            if name in ("axis_ratio", "separation", "edge_ratio"):
                values = [np.log(group) for group in values]
            assert value == pytest.approx(wasserstein_distance(*values)), name
    assert all(value == 0 for value in distance(real, real).values())
    assert distance(real, simulated) == pytest.approx(distance(simulated, real))


def test_distance_leaves_out_what_is_undefined():
    flow, mask = field()
    defined, undefined = measure_flow(flow, mask), measure_flow(flow, np.zeros_like(mask))
    assert distance([defined, undefined], [defined])["auc"] == 0
    assert math.isnan(distance([undefined], [defined])["auc"])
    assert distance([undefined], [defined])["coherence"] == 0


def test_input_that_cannot_be_measured_is_named():
    flow, mask = field()
    with pytest.raises(FlowsimError, match=r"mask is uint8 .* expected bool \(30, 40\)"):
        measure_flow(flow, mask.astype(np.uint8))
    with pytest.raises(FlowsimError, match=r"flow is float32 of shape \(30, 40\), expected float"):
        measure_flow(flow[..., 0], mask)
    with pytest.raises(FlowsimError, match="pass `valid`"):
        measure_flow(np.full_like(flow, np.nan), mask)
    with pytest.raises(FlowsimError, match="0 real and 1 simulated"):
        distance([], [measure_flow(flow, mask)])
