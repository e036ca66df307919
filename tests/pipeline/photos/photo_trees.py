"""Folder trees of photos and masks without content, for tests that go by names."""

from pathlib import Path

from pipeline.photos.listing import Listing


def touch(*paths: Path) -> None:
    """Make empty files; a listing depends only on their names."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def duts(root: Path, part: str = "DUTS-TR", stems: tuple[str, ...] = ("a", "b", "c")) -> Path:
    """Make a part of DUTS as it is published; return the folder of DUTS."""
    for stem in stems:
        touch(root / part / f"{part}-Image" / f"{stem}.jpg", root / part / f"{part}-Mask" / f"{stem}.png")
    return root


def ids(listing: Listing) -> list[str]:
    """Return the ids of the listed photos, in order."""
    return [row.id for row in listing.rows]
