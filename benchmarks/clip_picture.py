"""The moving picture of the README: a clip, its flow, and the masks of the network that is part of the package.

python -m benchmarks.clip_picture examples/box.mp4 --output examples/box.webp
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from flowsim import flow_to_rgb
from segmentation import predict
from segmentation.flow.dis import load_dis
from segmentation.prediction.own_videos import frames_with_flow
from segmentation.prediction.settings import PredictionSettings
from segmentation.videos.footage import open_footage
from segmentation.videos.overlay import tinted

HEIGHT_PX, GAP_PX = 200, 6


def pictures(clip: Path) -> list[Image.Image]:
    """Return each frame of a clip beside its flow by DIS and its mask."""
    footage = open_footage(clip)
    frames = frames_with_flow(footage.read(range(len(footage.names))), len(footage.names), load_dis(upscale=True))
    with tempfile.TemporaryDirectory() as folder:
        predict(PredictionSettings(inputs=(clip,), flow="dis", output=Path(folder)))
        masks = [cv2.imread(str(file), 0) for file in sorted((Path(folder) / clip.stem / "masks").iterdir())]
    found = []
    for (image, flow_px), mask in zip(frames, masks, strict=True):
        size = round(HEIGHT_PX * image.shape[1] / image.shape[0]), HEIGHT_PX
        tiles = [
            cv2.resize(tile, size, interpolation=cv2.INTER_AREA)
            for tile in (image, np.asarray(flow_to_rgb(flow_px)), tinted(image, mask > 0))
        ]
        gap = np.full((HEIGHT_PX, GAP_PX, 3), 255, np.uint8)
        found.append(Image.fromarray(np.hstack([tiles[0], gap, tiles[1], gap, tiles[2]])))
    return found


def main() -> None:
    """Write the animation as WebP."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    first, *others = pictures(arguments.clip)
    duration_ms = round(1000 / open_footage(arguments.clip).frames_per_second)
    first.save(
        arguments.output, save_all=True, append_images=others, duration=duration_ms, loop=0, quality=80, method=6
    )
    print(arguments.output)


if __name__ == "__main__":
    main()
