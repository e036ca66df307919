"""Classifiers that try to tell simulated flow from real flow.

    pip install '.[benchmarks]'
    pipeline run --input DUTS --limit 400 --depth-model tiny-dpt --output duts.zarr
    pipeline run --input DUTS --limit 120 --depth-model tiny-dpt --frames 2 --output davis.zarr
    segmentation flows --pairs davis.zarr --raft raft-small.pth --raft-iterations 12 --output davis-raft.zarr
    python -m benchmarks.realism_classifier --photos duts.zarr --fields DAVIS-train-flow --side-px 854 \
        --pairs davis=davis.zarr:davis-raft.zarr

Real fields come from videos (a folder of .npz files, see `segmentation fit-motion`). Simulated fields are of three
kinds: the flow of photos under each preset, the exact flow of pairs, which has hard borders, and the flow that an
estimator finds between the frames of these pairs. `--pairs` may be repeated. Without `--photos`, only pairs are judged,
and the other figures of the last run are kept.

A random forest judges by the statistics that `segmentation fit-motion` compares, and by how uneven flow is inside of
object and background; a small convolutional network judges by the flow's colours. Both are cross-validated: no video,
and no photo, is on both sides. The AUC is the probability that a simulated field is rated as more simulated than a real
one; at 0.5 they could not be told apart. The floor is the AUC between two random halves of the videos. It may be below
0.5, because a held-out video is missing from the very half that it belongs to. The benchmark writes
benchmarks/results/realism_classifier.json and .png.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.realism_figures import plot_classifiers
from benchmarks.realism_judges import STATISTICS, Labelled, alone, cross_validated, forest, forest_importance, network
from benchmarks.record import RESULTS, write
from flowsim import MotionPrior, flow_to_rgb, sample_motion, simulate_flow
from flowsim.comparison import at_scale, statistics_at_scale
from flowsim.inversion import Scene, features
from pipeline.dataset.pair_flows import PairFlowStore
from pipeline.dataset.schema import decode_flow
from pipeline.dataset.store import DatasetStore
from segmentation.training.motion_fit import Field, fields_of_folder, scenes_of

GRID = 214
COLORS_PX = 32
SEEDS = (0, 1)
FLOOR_SPLITS = 4
# Number of fields for comparisons of sets of different sizes, and number of random choices of them.
FEW, CHOICES = 48, 5
# Part of the picture that the object covers in the fields of both sides, where they are compared at like size.
LIKE_SIZE = 0.06, 0.25


def labelled(fields: Sequence[tuple[str, Field]]) -> Labelled:
    """Return statistics and colours of fields that show an object, with the video or the photo of each."""
    groups, areas, statistics, colors = [], [], [], []
    for group, (flow, mask, side_px) in fields:
        cells, cell_mask = at_scale(flow, mask, side_px, GRID)
        known = np.isfinite(cells).all(-1)
        if cell_mask[known].all() or not cell_mask[known].any():
            continue
        groups.append(group)
        areas.append(cell_mask[known].mean())
        compared = features(statistics_at_scale(flow, mask, side_px, GRID))
        statistics.append([*compared, *spreads(cells[known], cell_mask[known])])
        colors.append(_colors(cells))
    return Labelled(*map(np.array, (groups, areas, statistics, colors)))


def spreads(vectors: np.ndarray, is_object: np.ndarray) -> tuple[float, float]:
    """Return how uneven flow is inside of object and background.

    Args:
        vectors: (n,2) known flow, px.
        is_object: (n,) bool.

    Returns:
        For the object and for the background: sqrt(mean |f - mean f of the region|^2) / mean |f| of the whole field.
    """
    length = float(np.hypot(*vectors.T).mean())
    deviations = [vectors[region] - vectors[region].mean(0) for region in (is_object, ~is_object)]
    of_object, of_background = (float(np.sqrt((some**2).sum(1).mean())) / max(length, 1e-6) for some in deviations)
    return of_object, of_background


def _colors(cells: np.ndarray) -> np.ndarray:
    """Return the colours of the largest square in the middle: (32,32,3) uint8."""
    import cv2

    height, width = cells.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = np.ascontiguousarray(cells[top : top + side, left : left + side])
    small = cv2.resize(np.nan_to_num(square), (COLORS_PX, COLORS_PX), interpolation=cv2.INTER_AREA)
    return flow_to_rgb(np.asarray(small, np.float32))


def flow_of_photos(scenes: Sequence[Scene], prior: MotionPrior) -> Iterator[tuple[str, Field]]:
    """Simulate the flow of every photo under a prior."""
    for number, scene in enumerate(scenes):
        flow, valid, _ = simulate_flow(scene.inverse_depth, scene.mask, sample_motion(prior, 0, str(number), 0))
        known = np.where(valid[..., None], flow, np.float32(np.nan))
        yield str(number), (known, scene.mask, max(scene.mask.shape))


def flow_of_pairs(
    photos: DatasetStore, flows: DatasetStore | PairFlowStore, finished: PairFlowStore
) -> Iterator[tuple[str, Field]]:
    """Read the flow of pairs in the part of the picture in which both frames show the photo.

    Args:
        photos: dataset of pairs.
        flows: dataset with their flow, exact or estimated.
        finished: estimated flow; pairs without it are left out.
    """
    shards = finished.committed()
    for row in photos.usable_rows().tolist():
        if row // finished.layout.samples_per_shard not in shards:
            continue
        top, bottom, left, right = photos.read("window", row)[0]
        window = slice(top, bottom), slice(left, right)
        flow = decode_flow(flows.read("flow", row)[0][window])
        mask = photos.read("mask", row)[window] > 0
        yield str(row), (flow, mask, max(mask.shape))


def judged(real: Labelled, simulated: Labelled) -> dict[str, Any]:
    """Return what both classifiers, and each statistic alone, make of simulated fields."""
    of_forest = [cross_validated(real, simulated, forest, seed) for seed in SEEDS]
    of_network = [cross_validated(real, simulated, network, seed) for seed in SEEDS[:1]]
    return {
        "fields": len(simulated.groups),
        "object_area": [round(float(q), 3) for q in np.quantile(simulated.areas, (0.1, 0.5, 0.9))],
        "forest": _spread(of_forest),
        "network": _spread(of_network),
        "importance": dict(zip(STATISTICS, forest_importance(real, simulated, 0), strict=True)),
        "statistic_alone": dict(zip(STATISTICS, alone(real, simulated), strict=True)),
    }


def at_like_size(real: Labelled, simulated: Labelled) -> dict[str, Any]:
    """Return what the forest makes of the fields of both sides whose objects are about equally large.

    Fewer fields are harder to learn from. `as_many` is therefore the AUC on as many fields, of as many videos, with
    objects of any size.
    """
    least, most = LIKE_SIZE
    alike = [side.at((side.areas > least) & (side.areas < most)) for side in (real, simulated)]
    found, as_many = [], []
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        others = [_as_many(side, part, random) for side, part in zip((real, simulated), alike, strict=True)]
        found.append(cross_validated(*alike, forest, seed))
        as_many.append(cross_validated(*others, forest, seed))
    counts = {"real_fields": len(alike[0].groups), "fields": len(alike[1].groups)}
    return {**_spread(found), "as_many": _spread(as_many), **counts}


def of_few(real: Labelled, simulated: Labelled) -> dict[str, Any]:
    """Return what the forest makes of random choices of few simulated fields, the same number from every set."""
    found = []
    for seed in range(CHOICES):
        chosen = np.random.default_rng(seed).permutation(len(simulated.groups))[:FEW]
        found.append(cross_validated(real, simulated.at(chosen), forest, seed))
    return {**_spread(found), "fields": min(FEW, len(simulated.groups))}


def _as_many(side: Labelled, part: Labelled, random: np.random.Generator) -> Labelled:
    """Return random fields of random groups, as many of both as a part of the fields has, or as there are."""
    names = random.permutation(np.unique(side.groups))[: len(np.unique(part.groups))]
    places = np.flatnonzero(np.isin(side.groups, names))
    return side.at(random.permutation(places)[: len(part.groups)])


def floor(real: Labelled) -> dict[str, Any]:
    """Return what both classifiers make of two halves of the videos."""
    names = np.unique(real.groups)
    found: dict[str, list[float]] = {"forest": [], "network": []}
    for split in range(FLOOR_SPLITS):
        first = np.isin(real.groups, np.random.default_rng(split).permutation(names)[: len(names) // 2])
        halves = real.at(first), real.at(~first)
        found["forest"].append(cross_validated(*halves, forest, split))
        if split < FLOOR_SPLITS // 2:
            found["network"].append(cross_validated(*halves, network, split))
    return {name: _spread(values) for name, values in found.items()}


def _spread(values: Sequence[float]) -> dict[str, Any]:
    """Return the mean over seeds, with each of them."""
    return {"auc": round(float(np.mean(values)), 3), "of_each_seed": [round(value, 3) for value in values]}


def of_photos(real: Labelled, photos: str) -> dict[str, Any]:
    """Return the figures of real flow, and of the flow of photos under each preset."""
    scenes = scenes_of(photos, None, slice(1, None, 6))
    return {
        "real": {"videos": len(np.unique(real.groups)), "fields": len(real.groups)},
        "object_area": [round(float(q), 3) for q in np.quantile(real.areas, (0.1, 0.5, 0.9))],
        "like_size": LIKE_SIZE,
        "seeds": SEEDS,
        "floor": floor(real),
        "photos": {
            preset: judged(real, labelled(list(flow_of_photos(scenes, MotionPrior.preset(preset)))))
            for preset in ("parallax", "camera", "camera+object", "davis")
        },
        "pairs": {},
        "estimated": {},
    }


def main() -> None:
    """Measure and write benchmarks/results/realism_classifier.json and .png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", help="dataset of `pipeline run`")
    parser.add_argument("--fields", required=True, type=Path, help="folder of real flow, one .npz per video")
    parser.add_argument("--side-px", type=float, help="longer side of the picture that real flow's pixels belong to")
    parser.add_argument("--pairs", action="append", default=[], help="NAME=PAIRS:FLOWS, pairs and their flow")
    arguments = parser.parse_args()
    videos = fields_of_folder(arguments.fields, arguments.side_px)
    real = labelled([(name, field) for name, some in videos.items() for field in some])
    if arguments.photos:
        figures = of_photos(real, arguments.photos)
    else:
        figures = json.loads((RESULTS / "realism_classifier.json").read_text())
        del figures["environment"]
    for pair in arguments.pairs:
        name, _, urls = pair.partition("=")
        photos, flows = DatasetStore.open(urls.rpartition(":")[0]), PairFlowStore.open(urls.rpartition(":")[2])
        figures["estimator"] = f"{flows.attributes['weights']}, {flows.attributes['settings']['iterations']} iterations"
        estimated = labelled(list(flow_of_pairs(photos, flows, flows)))
        figures["estimated"][name] = {
            **judged(real, estimated),
            "forest_of_few": of_few(real, estimated),
            "forest_at_like_size": at_like_size(real, estimated),
        }
        figures["pairs"][name] = judged(real, labelled(list(flow_of_pairs(photos, photos, flows))))
        print(name, figures["estimated"][name]["forest"], flush=True)
    print(write("realism_classifier", figures))
    plot_classifiers(figures, RESULTS / "realism_classifier.png")


if __name__ == "__main__":
    main()
