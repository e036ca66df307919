"""Contact sheets: every picture stands in its place, and captions are one line of printable text."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pipeline.showing.sheets import GAP, HEADER, LABEL, draw_sheet, scaled_to

COLORS = {"red": (255, 0, 0), "green": (0, 128, 0), "blue": (0, 0, 255)}


def tile(color: str, width: int = 40, height: int = 30) -> Image.Image:
    return Image.new("RGB", (width, height), color)


@pytest.mark.parametrize("text", ["a\nb", "a\x1b[31mb", "a\u202eb"])
def test_ids_are_escaped(text: str) -> None:
    escaped = text.encode("unicode_escape").decode()
    for title, caption in ((text, "x"), ("x", text)):
        plain = {text: escaped}
        sheet = draw_sheet(title, ["photo"], [([tile("red")], caption)])
        wanted = draw_sheet(plain.get(title, title), ["photo"], [([tile("red")], plain.get(caption, caption))])
        np.testing.assert_array_equal(np.asarray(sheet), np.asarray(wanted))


def test_lines_abreast_fill_a_row_before_the_next_one_begins() -> None:
    lines = [([tile(color)], color) for color in COLORS]
    sheet = draw_sheet("title", ["picture"], lines, tile_px=40, lines_abreast=2)
    below = HEADER + LABEL + 30 + GAP + LABEL
    for color, (left, top) in zip(
        COLORS, ((GAP, HEADER + LABEL), (2 * GAP + 40, HEADER + LABEL), (GAP, below)), strict=True
    ):
        part = np.asarray(sheet)[top : top + 30, left : left + 40]
        assert (part == COLORS[color]).all(), color


def test_narrow_pictures_stand_in_the_middle_of_their_column() -> None:
    sheet = np.asarray(draw_sheet("title", ["picture"], [([tile("blue", width=20)], "")], tile_px=60))
    blue = np.flatnonzero((sheet[HEADER + LABEL + 5] == COLORS["blue"]).all(axis=1))
    assert (blue[0], blue[-1]) == (GAP + 20, GAP + 39)


@pytest.mark.parametrize(("height", "width", "size"), [(50, 100, (80, 40)), (20, 5, (20, 80)), (1000, 1, (1, 80))])
def test_scaling_keeps_proportions(height: int, width: int, size: tuple[int, int]) -> None:
    assert scaled_to(np.zeros((height, width, 3), np.uint8), 80).size == size
