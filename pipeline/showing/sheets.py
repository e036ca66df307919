"""Contact sheets: lines of pictures with captions, below a title and headings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pipeline.files.ids import shown

TILE = 220
GAP = 6
HEADER = 52
LABEL = 22

Line = tuple[Sequence[Image.Image], str]
"""The pictures of one line and the caption above them."""


def draw_sheet(
    title: str, columns: Sequence[str], lines: Sequence[Line], *, tile_px: int = TILE, lines_abreast: int = 1
) -> Image.Image:
    """Draw lines of pictures, each with its caption, below a title and the names of the columns.

    Args:
        title: one line of text; control characters in it and in captions are escaped.
        columns: a name, or an empty text, for each picture of a line.
        lines: pictures, no wider than a tile, and captions.
        tile_px: width of a column.
        lines_abreast: number of lines that are drawn beside each other.
    """
    line_width = len(columns) * (tile_px + GAP)
    rows = [lines[start : start + lines_abreast] for start in range(0, len(lines), lines_abreast)]
    heights = [max(tile.height for tiles, _ in row for tile in tiles) + LABEL + GAP for row in rows]
    sheet = Image.new("RGB", (GAP + lines_abreast * line_width, HEADER + sum(heights)), "white")
    draw = ImageDraw.Draw(sheet)
    font, small = ImageFont.load_default(16), ImageFont.load_default(13)
    draw.text((GAP, 6), shown(title), fill="black", font=font)
    for column, name in enumerate([*columns] * lines_abreast):
        draw.text((GAP + column * (tile_px + GAP), 30), name, fill="gray", font=small)
    top = HEADER
    for row, height in zip(rows, heights, strict=True):
        for number, (tiles, caption) in enumerate(row):
            left = GAP + number * line_width
            draw.text((left, top), shown(caption), fill="black", font=small)
            for column, tile in enumerate(tiles):
                sheet.paste(tile, (left + column * (tile_px + GAP) + (tile_px - tile.width) // 2, top + LABEL))
        top += height
    return sheet


def scaled_to(pixels: NDArray[Any], side_px: int) -> Image.Image:
    """Scale a picture, (h, w, 3) uint8 RGB, so that its longer side is `side_px`."""
    picture = Image.fromarray(np.asarray(pixels))
    scale = side_px / max(picture.size)
    return picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
