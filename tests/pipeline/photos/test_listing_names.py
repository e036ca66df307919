"""Names of listed photos: their order, Unicode forms, duplicates, and names that are left out."""

import os
import sys
import unicodedata
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.photos.listing import build_listing
from tests.pipeline.photos.photo_trees import duts, ids, touch


def test_order_is_by_code_point(tmp_path: Path) -> None:
    duts(tmp_path, stems=("b", "a", "10", "9", "Z", "é", "漢字", "a b"))
    assert ids(build_listing(str(tmp_path))) == ["10", "9", "Z", "a", "a b", "b", "é", "漢字"]


def test_limit_takes_the_first_by_id(tmp_path: Path) -> None:
    listing = build_listing(str(duts(tmp_path)), limit=2)
    assert ids(listing) == ["a", "b"]
    assert listing.listing_hash != build_listing(str(tmp_path)).listing_hash


def test_limit_counts_after_the_parts_are_put_together(tmp_path: Path) -> None:
    duts(duts(tmp_path, "DUTS-TR", ("c", "d")), "DUTS-TE", ("a", "e"))
    assert ids(build_listing(str(tmp_path), limit=1)) == ["a"]
    assert ids(build_listing(str(tmp_path), limit=3)) == ["a", "c", "d"]


def test_extensions_in_any_case_and_dots_in_stems(two_folders: tuple[Path, Path]) -> None:
    images, masks = two_folders
    touch(images / "x.y.JPEG", masks / "x.y.Png")
    listing = build_listing(images=str(images), masks=str(masks))
    assert ids(listing) == ["a", "b", "c", "x.y"]


def test_decomposed_mask_name_pairs_with_composed_photo_name(two_folders: tuple[Path, Path]) -> None:
    images, masks = two_folders
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    touch(images / f"{composed}.jpg", masks / f"{decomposed}.png")
    row = build_listing(images=str(images), masks=str(masks)).rows[-1]
    assert row.id == composed
    assert row.mask == str(masks / f"{decomposed}.png")
    assert Path(row.mask).exists()


def test_decomposed_photo_name_gets_the_same_id_and_hash(tmp_path: Path) -> None:
    first, second = (
        build_listing(str(duts(tmp_path / form, stems=(unicodedata.normalize(form, "café"),))))
        for form in ("NFC", "NFD")
    )
    assert ids(first) == ids(second)
    assert first.listing_hash == second.listing_hash


def test_names_that_differ_in_normalisation_alone_are_refused(two_folders: tuple[Path, Path]) -> None:
    images, masks = two_folders
    touch(*(images / f"{unicodedata.normalize(form, 'é')}.jpg" for form in ("NFC", "NFD")))
    with pytest.raises(InputError, match=r"two files with the stem é: .*(\\xe9|e\\u0301)\.jpg' and .*\.jpg'"):
        build_listing(images=str(images), masks=str(masks))


@pytest.mark.parametrize("folder", [0, 1])
def test_duplicate_stems_are_refused(two_folders: tuple[Path, Path], folder: int) -> None:
    touch(two_folders[folder] / "b.webp")
    extension = ("jpg", "png")[folder]
    with pytest.raises(
        InputError, match=rf"two files with the stem b: .*b\.({extension}|webp)' and .*rename or remove"
    ):
        build_listing(images=str(two_folders[0]), masks=str(two_folders[1]))


def test_one_stem_in_train_and_test_is_refused(tmp_path: Path) -> None:
    duts(duts(tmp_path), "DUTS-TE", ("b",))
    with pytest.raises(InputError, match=r"stem b: .*DUTS-TR-Image/b\.jpg' and .*DUTS-TE-Image/b\.jpg'"):
        build_listing(str(tmp_path))
    assert ids(build_listing(str(tmp_path), split="train")) == ["a", "b", "c"]


def test_hidden_files_and_leftovers_of_systems_are_ignored(two_folders: tuple[Path, Path]) -> None:
    images, masks = two_folders
    touch(images / "._a.jpg", images / ".DS_Store", images / "Thumbs.db", masks / "._a.png", masks / "desktop.ini")
    listing = build_listing(images=str(images), masks=str(masks))
    assert ids(listing) == ["a", "b", "c"]
    assert listing.notes == ()


def test_other_files_are_left_out_with_a_note(two_folders: tuple[Path, Path]) -> None:
    images, masks = two_folders
    touch(images / "readme.txt", images / "raw.cr2", masks / "list.csv")
    (images / "more").mkdir()
    listing = build_listing(images=str(images), masks=str(masks))
    assert ids(listing) == ["a", "b", "c"]
    assert listing.unsupported == ("list.csv", "more", "raw.cr2", "readme.txt")
    assert listing.notes == (
        "4 entries that are no images by their name, left out: list.csv, more, raw.cr2 and 1 more",
    )


@pytest.mark.skipif(sys.platform != "linux", reason="other systems demand Unicode names")
def test_name_that_is_not_unicode_is_left_out(two_folders: tuple[Path, Path]) -> None:
    images, masks = two_folders
    touch(Path(os.fsdecode(os.fsencode(images) + b"/caf\xe9.jpg")))
    listing = build_listing(images=str(images), masks=str(masks))
    assert ids(listing) == ["a", "b", "c"]
    assert listing.notes[0].encode() == rb"1 entries that are no images by their name, left out: caf\udce9.jpg"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_with_control_characters_are_left_out_and_shown_escaped(two_folders: tuple[Path, Path]) -> None:
    images, masks = two_folders
    for name in ("two\nlines.jpg", "esc\x1b[2J.png", "turned\u202egpj.png"):
        touch(images / name, masks / name)
    listing = build_listing(images=str(images), masks=str(masks))
    assert ids(listing) == ["a", "b", "c"]
    assert r"esc\x1b[2J.png" in listing.notes[0]
    assert not any(character in listing.notes[0] for character in "\n\x1b\u202e")


@given(st.sets(st.text("abÄé漢e\u0301 .-", min_size=1, max_size=6), min_size=1, max_size=8))
def test_ids_are_unique_and_sorted_whatever_the_names(stems: set[str]) -> None:
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    for stem in stems:
        memory.pipe(f"/set/p/x{stem}.jpg", b"")
        memory.pipe(f"/set/m/x{stem}.png", b"")
    wanted = sorted({unicodedata.normalize("NFC", f"x{stem}") for stem in stems})
    if len(wanted) < len(stems):
        with pytest.raises(InputError, match="two files with the stem"):
            build_listing(images="memory://set/p", masks="memory://set/m")
    else:
        assert ids(build_listing(images="memory://set/p", masks="memory://set/m")) == wanted


def test_order_of_the_listing_does_not_matter(two_folders: tuple[Path, Path], tmp_path: Path) -> None:
    images, masks = (tmp_path / "again" / folder.name for folder in two_folders)
    for stem in "cab":
        touch(masks / f"{stem}.png", images / f"{stem}.jpg")
    first = build_listing(images=str(two_folders[0]), masks=str(two_folders[1]))
    assert build_listing(images=str(images), masks=str(masks)).listing_hash == first.listing_hash


@pytest.mark.parametrize("change", ["add", "remove", "rename photo", "other mask type"])
def test_hash_tells_listings_apart(tmp_path: Path, change: str) -> None:
    images, masks = (duts(tmp_path) / "DUTS-TR" / f"DUTS-TR-{kind}" for kind in ("Image", "Mask"))
    before = build_listing(str(tmp_path)).listing_hash
    if change == "add":
        duts(tmp_path, stems=("d",))
    elif change == "remove":
        (images / "b.jpg").unlink()
    elif change == "rename photo":
        (images / "b.jpg").rename(images / "b.png")
    else:
        (masks / "b.png").rename(masks / "b.bmp")
    assert build_listing(str(tmp_path)).listing_hash != before
