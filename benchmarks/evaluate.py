"""Idle time of the network in `segmentation evaluate`: `python -m benchmarks.evaluate --davis DAVIS --raft WEIGHTS`.

The rival is a plain loop in the same run, with the same network, frames and flow: it reads a frame and its flow,
predicts the mask on all cores or on the GPU, and writes it before it goes on. Rounds of both alternate, and their
medians are compared. Without `--checkpoint` the network has random weights, which take the same time. Flow is estimated
once, with few iterations.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.record import write
from pipeline.command.progress import Silent
from pipeline.photos.decoding import decode_photo
from segmentation.flow.frame_flows import open_flows
from segmentation.network.checkpoint import load_network, save_network
from segmentation.network.model import TwoStreamNetwork
from segmentation.prediction.evaluation import predict_and_score
from segmentation.prediction.mask_folders import write_mask
from segmentation.prediction.settings import EvaluationSettings
from segmentation.videos.datasets import open_dataset


def part_of_davis(davis: Path, folder: Path, frames: int) -> Path:
    """Link the first frames of every available validation sequence into a new tree."""
    names = [line.strip() for line in (davis / "ImageSets/2016/val.txt").read_text().splitlines()]
    present = [name for name in names if (davis / "JPEGImages/480p" / name).is_dir()]
    for name in present:
        for kind in ("JPEGImages", "Annotations"):
            target = folder / kind / "480p" / name
            target.mkdir(parents=True)
            for path in sorted((davis / kind / "480p" / name).iterdir())[:frames]:
                (target / path.name).symlink_to(path.resolve())
    (folder / "ImageSets/2016").mkdir(parents=True)
    (folder / "ImageSets/2016/val.txt").write_text("".join(f"{name}\n" for name in present))
    return folder


@torch.inference_mode()
def plain_loop(root: Path, flows: str, checkpoint: Path, masks: Path, device: str) -> tuple[float, float]:
    """Return frames per second, and the fraction of time in which the network was idle."""
    network = load_network(checkpoint).to(device)
    dataset = open_dataset("davis16", root, "val")
    stored = open_flows(flows, dataset)
    masks.mkdir(parents=True, exist_ok=True)
    busy, frames, started = 0.0, 0, time.perf_counter()
    for video in dataset.videos:
        stored.check(video)
        for frame in video.annotated:
            assert frame.image is not None
            pixels = [decode_photo(frame.image.read_bytes()), stored.read_colors(video.name, frame.name)]
            begun = time.perf_counter()
            image, colors = (
                torch.from_numpy(np.array(each)).to(device).permute(2, 0, 1)[None].float() / 255 for each in pixels
            )
            mask = network.predict(image, colors)[0].cpu().numpy()
            busy += time.perf_counter() - begun
            write_mask(masks, frame.name, mask > 0)
            frames += 1
    seconds = time.perf_counter() - started
    return frames / seconds, 1 - busy / seconds


def main() -> None:
    """Measure and write benchmarks/results/evaluate.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--davis", type=Path, required=True)
    parser.add_argument("--raft", required=True, help="file with the weights of RAFT")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--encoder", default="mit-b0", help="encoder of the random network (default %(default)s)")
    parser.add_argument(
        "--frames", type=int, default=20, help="number of frames of each sequence (default %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        checkpoint = given.checkpoint or work / "network"
        if given.checkpoint is None:
            save_network(TwoStreamNetwork(given.encoder, initialization="random"), checkpoint)
        root = part_of_davis(given.davis, work / "DAVIS", given.frames)
        settings = EvaluationSettings(
            dataset=(f"davis16={root}",),
            checkpoint=checkpoint,
            output=work / "out",
            raft=given.raft,
            raft_iterations=1,
            workers=0,
        )
        predict_and_score(settings, Silent())  # makes the flow, and warms up
        flows = str(work / "out/flows/davis16.zarr")
        ours, plain = [], []
        for _ in range(given.rounds):
            shutil.rmtree(work / "out/davis16")
            done = predict_and_score(replace(settings, dataset=(f"davis16={root}:{flows}",)), Silent())
            ours.append((done.frames / done.seconds, done.waiting_share or 0.0))
            plain.append(plain_loop(root, flows, checkpoint, work / "plain", device))
    figures: dict[str, Any] = {
        "device": device,
        "network": given.encoder if given.checkpoint is None else str(given.checkpoint),
        "frames": done.frames,
        **{
            name: {
                "frames_per_second": round(median(rate for rate, _ in runs), 2),
                "network_waits_share": round(median(share for _, share in runs), 4),
                "all": [[round(value, 4) for value in run] for run in runs],
            }
            for name, runs in (("ours", ours), ("plain loop", plain))
        },
        "times faster": round(median(o[0] / p[0] for o, p in zip(ours, plain, strict=True)), 2),
    }
    print(figures)
    print(write("evaluate", figures))


if __name__ == "__main__":
    main()
