"""Share of pixels that bfloat16 changes in the masks of `segmentation predict` and `evaluate`, and what it costs in J.

    python -m benchmarks.mask_precision --davis DAVIS

Masks of every `--step`-th frame of the val sequences of DAVIS-2016 are predicted twice, from the same flow by DIS: in
float32, and with the arithmetic of torch.autocast in bfloat16, which both commands use on GPUs. On a CPU, autocast
rounds the same operations to bfloat16; sums are taken in another order than on a GPU.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import torch

from benchmarks.record import write
from segmentation.flow.dis import load_dis
from segmentation.network.checkpoint import load_network
from segmentation.network.flow_colors import flow_colors
from segmentation.network.network_files import EMBEDDED_NETWORK
from segmentation.network.resize import resize_bicubic
from segmentation.videos.datasets import open_dataset
from segmentation.videos.footage import ImageFiles


class BothPrecisions:
    """Predicts one frame in float32 and in bfloat16, as `Segmenter` does on a GPU."""

    def __init__(self, checkpoint: Path, device: str) -> None:
        self.device = device
        self.network = load_network(checkpoint).eval().to(device)

    @torch.inference_mode()
    def __call__(self, image: np.ndarray, colors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        squares = [self._square(image), self._square(colors)]
        masks = []
        for is_reduced in (False, True):
            with torch.autocast(self.device, torch.bfloat16, enabled=is_reduced):
                logits = self.network(*squares)
            background, is_object = resize_bicubic(logits, image.shape[:2])[0]
            masks.append((is_object > background).cpu().numpy())
        return masks[0], masks[1]

    def _square(self, pixels: np.ndarray) -> torch.Tensor:
        values = torch.from_numpy(np.array(pixels)).to(self.device).permute(2, 0, 1)[None].float() / 255
        return resize_bicubic(values, (self.network.side_px, self.network.side_px))


def iou(found: np.ndarray, truth: np.ndarray) -> float:
    """Return the region similarity J of two masks."""
    union = (found | truth).sum()
    return float((found & truth).sum() / union) if union else 1.0


def main() -> None:
    """Measure and write benchmarks/results/mask_precision.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--davis", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, default=Path(EMBEDDED_NETWORK))
    parser.add_argument("--step", type=int, default=10, help="frames from one to the next (default %(default)s)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--quick", action="store_true", help="print the figures without writing them")
    given = parser.parse_args()
    predict, flow = BothPrecisions(given.checkpoint, given.device), load_dis(upscale=True)
    dataset = open_dataset("davis16", given.davis)
    changed: list[float] = []
    lost_j: list[float] = []
    for video in dataset.videos:
        frames = [frame for frame in video.frames if frame.image is not None]
        footage = ImageFiles(tuple(frame.image for frame in frames if frame.image is not None))
        for number in range(0, len(frames) - 1, given.step):
            image, after = footage.read([number, number + 1])
            full, reduced = predict(image, flow_colors(flow.pair(image, after)))
            truth = dataset.read_mask(frames[number])
            changed.append(float((full != reduced).mean()))
            lost_j.append(iou(full, truth) - iou(reduced, truth))
    figures: dict[str, Any] = {
        "device": given.device,
        "network": str(given.checkpoint),
        "videos": len(dataset.videos),
        "frames": len(changed),
        "changed_pixels_percent": {
            "mean": round(100 * mean(changed), 3),
            "median": round(100 * median(changed), 3),
            "largest": round(100 * max(changed), 2),
        },
        "lost_j_percent_points": {
            "mean": round(100 * mean(lost_j), 3),
            "largest": round(100 * max(map(abs, lost_j)), 2),
        },
    }
    print(figures)
    if not given.quick:
        print(write("mask_precision", figures))


if __name__ == "__main__":
    main()
