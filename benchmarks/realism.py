"""Distance between the statistics of simulated and of real flow.

    python -m benchmarks.realism --photos duts.zarr --fields DAVIS-train-flow --side-px 854

Real fields come from videos (a folder of .npz files, see `segmentation fit-motion`). Simulated fields come from every
preset, and from a sampler with the ranges of depthstillation (Aleotti et al., 2021), on the photos of a dataset
(`pipeline run`). All flow is averaged to a grid with a longer side of 214 cells, in px of a picture with a longer side
of 854 px.

Videos are split into halves at random. Row "davis" is a prior that the function behind `segmentation fit-motion` fits
to the first half, with every second photo. All rows are compared with the second half, on the other photos. The floor
is the distance between the two halves. "over_floor" is the mean over statistics of distance / floor, where both are
means over splits. The benchmark writes benchmarks/results/realism.json, realism.png (distributions) and
realism_samples.png (fields).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.realism_figures import plot_distributions, plot_samples
from benchmarks.record import RESULTS, write
from flowsim import FlowStatistics, MotionPrior, MotionSample, distance, sample_motion, simulate_flow
from flowsim.comparison import statistics_at_scale
from flowsim.fit import fit_prior
from flowsim.inversion import FIT_GRID, Scene
from pipeline.command.progress import ProgressLine
from segmentation.training.motion_fit import Field, fields_of_folder, measure_fields, scenes_of

GRID = 214
PRESETS = ("parallax", "camera", "camera+object")
DEPTHSTILLATION = "depthstillation-style"
# The published camera has fx = 0.58 w and fy = 0.58 h. Pixels are square here, so fx serves for both.
DEPTHSTILLATION_FOV_DEG = math.degrees(2 * math.atan(0.5 / 0.58))


def depthstillation_motion(random: np.random.Generator) -> MotionSample:
    """Draw a motion in the published ranges, in nearest depths and rad, about the camera's centre."""

    def triple(low: float, high: float) -> tuple[float, float, float]:
        x, y, z = (random.uniform(low, high, 3) * random.choice([-1, 1], 3)).tolist()
        return x, y, z

    return MotionSample(
        model="rigid",
        shot=0,
        magnitude=0.0,
        percentile=90.0,
        largest=1.0,
        fov_deg=DEPTHSTILLATION_FOV_DEG,
        far=100.0,
        zero_plane=0.0,
        scale=1.0,
        rotation=triple(math.pi / 36, math.pi / 18),
        translation=triple(0.1, 0.2),
        object_rotation=triple(math.pi / 72, math.pi / 36),
        object_translation=triple(0.05, 0.1),
        pivot=(0.0, 0.0, 0.0),
    )


def simulated(scenes: Sequence[Scene], motion_of: Callable[[int], MotionSample], grid: int) -> list[FlowStatistics]:
    """Simulate and measure one field for every scene."""
    measured = []
    for number, scene in enumerate(scenes):
        flow, valid, _ = simulate_flow(scene.inverse_depth, scene.mask, motion_of(number))
        known = np.where(valid[..., None], flow, np.float32(np.nan))
        measured.append(statistics_at_scale(known, scene.mask, max(scene.mask.shape), grid))
    return measured


def from_prior(prior: MotionPrior, seed: int) -> Callable[[int], MotionSample]:
    """Return the motion that a prior gives each scene."""
    return lambda number: sample_motion(prior, seed, str(number), 0)


def real_statistics(videos: dict[str, list[Field]]) -> dict[str, list[FlowStatistics]]:
    """Measure every real field with both object and background."""
    return {
        name: [statistics_at_scale(flow, mask, side_px, GRID) for flow, mask, side_px in some if 0 < mask.mean() < 1]
        for name, some in videos.items()
    }


def one_split(
    order: Sequence[str],
    videos: dict[str, list[FlowStatistics]],
    coarse: dict[str, list[FlowStatistics]],
    rows: dict[str, list[FlowStatistics]],
    scenes: tuple[list[Scene], list[Scene]],
    split: int,
    line: ProgressLine,
) -> tuple[dict[str, dict[str, float]], list[FlowStatistics]]:
    """Fit on the first half, and compare all rows with the second; return distances and the fitted prior's fields."""
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    first, second = ([field for name in half for field in videos[name]] for half in halves)
    prior = fit_prior(
        f"split {split}",
        [field for name in halves[0] for field in coarse[name]],
        scenes[0],
        seed=split,
        progress=lambda to_do, done: line.update(to_do, done, 0),
    )
    fitted = simulated(scenes[1], from_prior(prior, split), GRID)
    found = {name: distance(second, some) for name, some in {**rows, "davis": fitted}.items()}
    return {"floor": distance(second, first), **found}, fitted


def summary(splits: list[dict[str, dict[str, float]]]) -> dict[str, Any]:
    """Return mean distances over splits, their ratios to the floor, and the mean ratio over statistics."""
    mean = {
        row: {name: float(np.mean([split[row][name] for split in splits])) for name in splits[0][row]}
        for row in splits[0]
    }
    floor = mean["floor"]
    return {
        row: {
            "over_floor": round(float(np.mean([values[name] / floor[name] for name in floor])), 3),
            "over_floor_of_each_split": [
                round(float(np.mean([split[row][name] / floor[name] for name in floor])), 3) for split in splits
            ],
            "distance": {name: round(value, 4) for name, value in values.items()},
            "distance_over_floor": {name: round(values[name] / floor[name], 2) for name in floor},
        }
        for row, values in mean.items()
    }


def medians(rows: dict[str, list[FlowStatistics]]) -> dict[str, dict[str, list[float]]]:
    """Return the 10, 50 and 90 % quantiles of every statistic."""
    names = [item.name for item in fields_of(FlowStatistics) if item.name != "angles"]
    return {
        row: {
            name: [round(float(q), 3) for q in np.nanquantile([getattr(f, name) for f in some], (0.1, 0.5, 0.9))]
            for name in names
        }
        for row, some in rows.items()
    }


def main() -> None:
    """Measure and write benchmarks/results/realism.json and the two pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", required=True)
    parser.add_argument("--fields", required=True, type=Path)
    parser.add_argument("--side-px", type=float)
    parser.add_argument("--splits", type=int, default=3)
    arguments = parser.parse_args()
    fields = fields_of_folder(arguments.fields, arguments.side_px)
    videos = real_statistics(fields)
    coarse = {name: [field.statistics for field in some] for name, some in measure_fields(fields).items()}
    to_fit = scenes_of(arguments.photos, FIT_GRID, slice(0, None, 2))
    to_report = scenes_of(arguments.photos, None, slice(1, None, 2))
    random = np.random.default_rng(0)
    rows = {name: simulated(to_report, from_prior(MotionPrior.preset(name), 0), GRID) for name in PRESETS}
    rows[DEPTHSTILLATION] = simulated(to_report, lambda _: depthstillation_motion(random), GRID)
    splits, fitted = [], []
    with ProgressLine("simulations") as line:
        for split in range(arguments.splits):
            line.announce(f"split {split + 1} of {arguments.splits}")
            order = [str(name) for name in np.random.default_rng(split).permutation(sorted(videos))]
            distances, fields_of_prior = one_split(order, videos, coarse, rows, (to_fit, to_report), split, line)
            splits.append(distances)
            fitted += fields_of_prior
    shown = {"real": [f for some in videos.values() for f in some], **rows, "davis": fitted}
    results = summary(splits)
    figures = {
        "real": {"videos": len(videos), "fields": sum(map(len, videos.values())), "source": arguments.fields.name},
        "photos": {"to_fit": len(to_fit), "to_report": len(to_report)},
        "object_area": {
            "real": [
                round(float(q), 3)
                for q in np.quantile([f[1].mean() for s in fields.values() for f in s], (0.1, 0.5, 0.9))
            ],
            "photos": [round(float(q), 3) for q in np.quantile([s.mask.mean() for s in to_report], (0.1, 0.5, 0.9))],
        },
        "davis_over_depthstillation": round(results["davis"]["over_floor"] / results[DEPTHSTILLATION]["over_floor"], 3),
        "results": results,
        "quantiles_10_50_90": medians(shown),
    }
    print({row: values["over_floor"] for row, values in results.items()})
    print(write("realism", figures))
    plot_distributions(shown, results, RESULTS / "realism.png")
    plot_samples(fields, to_report, MotionPrior.preset("davis"), RESULTS / "realism_samples.png")


if __name__ == "__main__":
    main()
