"""Why networks of the comparison of training data differ: how far they follow a flow that misleads them.

    python -m benchmarks.ablation_masks --davis DAVIS --flows davis-flows.zarr --work FOLDER

FOLDER is that of `benchmarks.ablation`. The last network of each run segments some frames, seeing 256 px. Flow misleads
where the threshold on it is wrong: in the background that moves (a shadow, a wake, a near post), and in objects that do
not. Figures go to benchmarks/results/ablation_masks.json, masks of some frames to ablation_masks.png.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import mean

import numpy as np

from benchmarks.ablation import FITTED, finished_runs, networks_of
from benchmarks.ablation_data import ARMS, judged_by
from benchmarks.baselines import moving
from benchmarks.record import RESULTS, write
from pipeline.showing.sheets import draw_sheet, scaled_to
from segmentation.data.photo_samples import Triplet
from segmentation.network.network_files import LAST
from segmentation.network.segmenter import Mask, Segmenter
from segmentation.training.data_split import ValidationData
from segmentation.training.validation import as_pixels
from segmentation.videos.overlay import tinted

EVERY = 5
"""Every fifth frame is segmented."""
SHOWN_SEQUENCES = ("car-shadow", "libby", "boat", "rollerblade", "paragliding")
SHOWN_ARMS = ("videos", "zero", "davis", "davis-small", "photos")
TILE_PX = 220
PICTURE = RESULTS / "ablation_masks.png"

Samples = dict[str, list[Triplet]]
"""Name of a sequence -> some of its frames."""
Masks = dict[str, list[Mask]]
"""Name of a sequence -> masks of the same frames."""


def some_frames(validation: ValidationData) -> Samples:
    """Read some of the frames that are scored."""
    return {
        name: [sample for number in numbers[::EVERY] for sample in part.read([number], 0)]
        for name, part, numbers in validation.sequences
    }


def folders_of(arm: str, work: Path) -> list[Path]:
    """Return the folders of the finished runs of an arm that are at hand, by seed."""
    finished = [one for one in finished_runs() if one["arm"] == arm and one["first_weights"] == FITTED]
    folders = [work / "runs" / f"{arm}-{seed}" for seed in sorted(one["seed"] for one in finished)]
    return [folder for folder in folders if (folder / LAST).exists()]


def masks_of(run: Path, judged: dict[str, Samples]) -> Masks:
    """Return the masks that the last network of a run finds in every sequence."""
    segmenter = Segmenter(networks_of(run)["larger"], "cpu")
    return {
        name: segmenter([as_pixels(frame) for frame in frames])
        for samples in judged.values()
        for name, frames in samples.items()
    }


def misled(samples: Samples, masks: Masks) -> dict[str, float]:
    """Return how far masks follow a flow that misleads, as means over sequences.

    Args:
        samples: frames of each sequence.
        masks: masks of the same frames.

    Returns:
        `moving_background`: the part of the background that the threshold on the flow takes for object, and the masks
        as well; `still_object`: the part of the object that the threshold misses, and the masks find.
    """
    taken, found = [], []
    for name, frames in samples.items():
        truth = [frame.mask.numpy() > 0 for frame in frames]
        moves = [moving(frame) for frame in frames]
        taken.append(_part_of(masks[name], [m & ~t for m, t in zip(moves, truth, strict=True)]))
        found.append(_part_of(masks[name], [t & ~m for m, t in zip(moves, truth, strict=True)]))
    return {"moving_background": float(np.nanmean(taken)), "still_object": float(np.nanmean(found))}


def _part_of(masks: list[Mask], areas: list[Mask]) -> float:
    """Return the part of some areas that masks cover; NaN if there is no area."""
    covered = sum(int((mask & area).sum()) for mask, area in zip(masks, areas, strict=True))
    size = sum(int(area.sum()) for area in areas)
    return covered / size if size else float("nan")


def draw(samples: Samples, masks: dict[str, Masks], path: Path) -> None:
    """Draw truth, flow, threshold and the masks of some networks, on the middle frame of some sequences."""
    labels = {arm.name: arm.label for arm in ARMS}
    lines = []
    for name in (one for one in SHOWN_SEQUENCES if one in samples):
        middle = len(samples[name]) // 2
        frame = samples[name][middle]
        pixels, colors = as_pixels(frame)
        shown = [frame.mask.numpy() > 0, moving(frame), *(of_arm[name][middle] for of_arm in masks.values())]
        tiles = [tinted(pixels, mask) for mask in shown]
        lines.append(([scaled_to(tile, TILE_PX) for tile in (tiles[0], colors, *tiles[1:])], name))
    headings = ("truth", "flow (RAFT)", "threshold on the flow", *(labels[name] for name in masks))
    draw_sheet("What networks of different data take for the object", headings, lines, tile_px=TILE_PX).save(path)


def main() -> None:
    """Segment with the last network of every run, and write figures and picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--davis", type=Path, required=True, help="folder of DAVIS-2016")
    parser.add_argument("--flows", required=True, help="flow of DAVIS-2016 train and val by `segmentation flows`")
    parser.add_argument("--work", type=Path, required=True, help="folder of the runs")
    arguments = parser.parse_args()
    judged = {name: some_frames(one) for name, one in judged_by(arguments.davis, arguments.flows).items()}
    rows, drawn = [], {}
    for arm in ARMS:
        found: dict[str, list[dict[str, float]]] = {name: [] for name in judged}
        for run in folders_of(arm.name, arguments.work):
            masks = masks_of(run, judged)
            for name, samples in judged.items():
                found[name].append(misled(samples, masks))
            print(run.name, {name: some[-1] for name, some in found.items()}, flush=True)
            if arm.name in SHOWN_ARMS:
                drawn.setdefault(arm.name, masks)
        if not found["val"]:
            continue
        figures = {name: {kind: mean(one[kind] for one in some) for kind in some[0]} for name, some in found.items()}
        rows.append({"arm": arm.name, "label": arm.label, "runs": len(found["val"]), **figures})
    draw({name: some for samples in judged.values() for name, some in samples.items()}, drawn, PICTURE)
    frames = {name: sum(map(len, samples.values())) for name, samples in judged.items()}
    print(write("ablation_masks", {"every": EVERY, "frames": frames, "arms": rows}))


if __name__ == "__main__":
    main()
