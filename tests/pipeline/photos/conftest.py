"""Fixtures of the tests of listings."""

from pathlib import Path

import pytest

from tests.pipeline.photos.photo_trees import touch


@pytest.fixture
def two_folders(tmp_path: Path) -> tuple[Path, Path]:
    images, masks = tmp_path / "photos", tmp_path / "masks"
    touch(*(images / f"{stem}.jpg" for stem in "abc"), *(masks / f"{stem}.png" for stem in "abc"))
    return images, masks
