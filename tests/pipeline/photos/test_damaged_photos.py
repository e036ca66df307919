"""Damaged photos and masks of every format through `pipeline run`: each is decoded or listed."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.mutations import run_over, write_mutated_tree

MAY_HANG_S = 1200  # long, for a busy machine


@pytest.mark.parametrize("photos", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_every_damaged_photo_is_decoded_or_listed(tmp_path: Path, photos: int) -> None:
    mutated, whole = (
        write_mutated_tree(tmp_path / str(is_whole), photos, whole=is_whole) for is_whole in (False, True)
    )
    made = run_over(mutated, tmp_path / "mutated.zarr", MAY_HANG_S)
    assert (made["photos"], made["neither"], made["both"], made["whole_ones_listed"]) == (photos, 0, 0, 0)
    assert made["listed"] > photos / 3
    assert made["decoded"] > photos / 5
    assert "internal" not in made["reasons"]
    if photos >= 1000:
        assert made["peak_memory_mb"] < 1.5 * run_over(whole, tmp_path / "whole.zarr", MAY_HANG_S)["peak_memory_mb"]
