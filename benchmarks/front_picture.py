r"""The README's first picture: what is made of photos, and real flow beside it.

    python -m benchmarks.front_picture dutsv2.zarr --ids cameraman coffee pagoda --fields FOLDER \
        --sequences horsejump-low scooter-gray flamingo

The dataset is one of `pipeline run --motion davis`; FOLDER holds real flow with masks, `flow` in 1/64 px and `mask` in
.npz files, as `segmentation fit-motion --fields` reads it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.record import ROOT
from flowsim import flow_to_rgb
from pipeline.preview import OUTLINE, sample_pictures
from pipeline.store import DatasetStore
from segmentation.motion_fit import fields_of_folder

TILE, GAP, HEADER, APART = (264, 176), 6, 26, 22
HEADINGS = ("photo", "inverse depth", "simulated flow", "mask", "real flow (RAFT, DAVIS)")


def tile(pixels: np.ndarray) -> Image.Image:
    """Fit a picture into a tile, cutting what sticks out."""
    width, height = TILE
    scale = max(width / pixels.shape[1], height / pixels.shape[0])
    size = round(pixels.shape[1] * scale), round(pixels.shape[0] * scale)
    resized = Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return resized.crop((left, top, left + width, top + height))


def real_tile(flow_px: np.ndarray, mask: np.ndarray) -> Image.Image:
    """Colour a real field by its 98 % quantile, with the object's outline."""
    longest = float(np.quantile(np.linalg.norm(flow_px, axis=-1), 0.98))
    picture = cv2.resize(np.asarray(flow_to_rgb(flow_px, longest)), None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    outline = cv2.resize(mask.astype(np.uint8), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    cv2.drawContours(picture, cv2.findContours(outline, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0], -1, OUTLINE, 2)
    return tile(picture)


def main() -> None:
    """Write examples/front.png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--ids", nargs="+", required=True, help="samples, one a line")
    parser.add_argument("--fields", type=Path, required=True)
    parser.add_argument("--sequences", nargs="+", required=True, help="videos of FOLDER, one a line")
    arguments = parser.parse_args()
    store = DatasetStore.open(arguments.dataset)
    rows = {str(name): row for row, name in enumerate(store.read("id", slice(None)))}
    videos = fields_of_folder(arguments.fields)
    sheet = Image.new(
        "RGB", (5 * (TILE[0] + GAP) - GAP + APART, HEADER + len(arguments.ids) * (TILE[1] + GAP) - GAP), "white"
    )
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    lefts = [column * (TILE[0] + GAP) + (APART if column == 4 else 0) for column in range(5)]
    for left, heading in zip(lefts, HEADINGS, strict=True):
        draw.text((left + 2, 3), heading, fill="black", font=font)
    for line, (name, video) in enumerate(zip(arguments.ids, arguments.sequences, strict=True)):
        sample = sample_pictures(store, rows[name])
        flow_px, mask, _ = videos[video][len(videos[video]) // 2]
        pictures = (sample.photo, sample.depth, sample.flows[0], sample.mask)
        tiles = [*(tile(picture) for picture in pictures if picture is not None), real_tile(flow_px, mask)]
        for left, one in zip(lefts, tiles, strict=True):
            sheet.paste(one, (left, HEADER + line * (TILE[1] + GAP)))
    path = ROOT / "examples/front.png"
    sheet.save(path, optimize=True)
    print(path)


if __name__ == "__main__":
    main()
