r"""The first picture of the README: samples made from photos, and real flow beside them.

    python -m benchmarks.front_picture dutsv2.zarr --ids cameraman coffee pagoda --fields FOLDER \
        --sequences horsejump-low scooter-gray flamingo

The dataset is that of `make demo`. FOLDER holds real flow with masks as `segmentation fit-motion --fields` reads it:
.npz files with `flow` in 1/64 px and `mask`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.record import ROOT
from flowsim import flow_to_rgb
from pipeline.dataset.store import DatasetStore
from pipeline.showing.preview import OUTLINES, sample_pictures
from segmentation.training.motion_fit import fields_of_folder

TILE, GAP, HEADER, APART = (264, 176), 6, 26, 22
HEADINGS = ("photo", "inverse depth", "simulated flow", "mask", "real flow (RAFT, DAVIS)")


def tile(pixels: np.ndarray) -> Image.Image:
    """Fit a picture into a tile, and crop what does not fit."""
    width, height = TILE
    scale = max(width / pixels.shape[1], height / pixels.shape[0])
    size = round(pixels.shape[1] * scale), round(pixels.shape[0] * scale)
    resized = Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return resized.crop((left, top, left + width, top + height))


def real_tile(flow_px: np.ndarray, mask: np.ndarray) -> Image.Image:
    """Colour a real field, with full saturation at its 98 % quantile, and draw the object's outline."""
    longest = float(np.quantile(np.linalg.norm(flow_px, axis=-1), 0.98))
    picture = cv2.resize(np.asarray(flow_to_rgb(flow_px, longest)), None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    outline = cv2.resize(mask.astype(np.uint8), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    cv2.drawContours(
        picture, cv2.findContours(outline, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0], -1, OUTLINES[0], 2
    )
    return tile(picture)


def made_tiles(store: DatasetStore, ids: Sequence[str]) -> Iterator[list[Image.Image]]:
    """Yield the tiles of each sample: photo, inverse depth, flow and mask."""
    rows = {str(name): row for row, name in enumerate(store.read("id", slice(None)))}
    for name in ids:
        sample = sample_pictures(store, rows[name], with_photo=True)
        pictures = (sample.photo, sample.depth, sample.flows[0], sample.mask)
        yield [tile(picture) for picture in pictures if picture is not None]


def tile_box(line: int, column: int) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of a tile in the sheet."""
    left = column * (TILE[0] + GAP) + (APART if column == 4 else 0)
    top = HEADER + line * (TILE[1] + GAP)
    return left, top, left + TILE[0], top + TILE[1]


def main() -> None:
    """Write examples/front.png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--ids", nargs="+", required=True, help="ids of the samples, one per row")
    parser.add_argument("--fields", type=Path, required=True)
    parser.add_argument("--sequences", nargs="+", required=True, help="names of videos in FOLDER, one per row")
    arguments = parser.parse_args()
    videos = fields_of_folder(arguments.fields)
    sheet = Image.new("RGB", tile_box(len(arguments.ids) - 1, 4)[2:], "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    for column, heading in enumerate(HEADINGS):
        draw.text((tile_box(0, column)[0] + 2, 3), heading, fill="black", font=font)
    lines = made_tiles(DatasetStore.open(arguments.dataset), arguments.ids)
    for line, (made, video) in enumerate(zip(lines, arguments.sequences, strict=True)):
        flow_px, mask, _ = videos[video][len(videos[video]) // 2]
        for column, one in enumerate([*made, real_tile(flow_px, mask)]):
            sheet.paste(one, tile_box(line, column))
    path = ROOT / "examples/front.png"
    sheet.save(path, optimize=True)
    print(path)


if __name__ == "__main__":
    main()
