import dataclasses
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InputError, PipelineError
from pipeline.photos.listing import Listing, build_listing
from tests.pipeline.photos.photo_trees import duts, touch


def ids(listing: Listing) -> list[str]:
    return [row.id for row in listing.rows]


# Trees


def test_duts_root(tmp_path: Path) -> None:
    listing = build_listing(str(duts(tmp_path)))
    assert listing.source == "DUTS: DUTS-TR"
    assert ids(listing) == ["a", "b", "c"]
    assert listing.rows[0].image == str(tmp_path / "DUTS-TR/DUTS-TR-Image/a.jpg")
    assert listing.rows[0].mask == str(tmp_path / "DUTS-TR/DUTS-TR-Mask/a.png")
    assert listing.notes == ()


def test_splits_of_duts(tmp_path: Path) -> None:
    duts(duts(tmp_path), "DUTS-TE", ("aa", "d"))
    everything = build_listing(str(tmp_path))
    train, test = (build_listing(str(tmp_path), split=split) for split in ("train", "test"))
    assert everything.source == "DUTS: DUTS-TR and DUTS-TE"
    assert ids(everything) == ["a", "aa", "b", "c", "d"]
    assert ids(train) == ["a", "b", "c"]
    assert ids(test) == ["aa", "d"]
    assert set(train.rows) | set(test.rows) == set(everything.rows)


def test_photo_has_one_id_and_hash_wherever_it_is_read_from(tmp_path: Path, two_folders: tuple[Path, Path]) -> None:
    duts(tmp_path / "DUTS")
    for stem in "abc":
        touch(tmp_path / f"DUTSv2/JPEGImages/{stem}.jpg", tmp_path / f"DUTSv2/Annotations/{stem}.png")
    listings = [
        build_listing(str(tmp_path / "DUTS")),
        build_listing(str(tmp_path / "DUTS/DUTS-TR")),
        build_listing(str(tmp_path / "DUTSv2")),
        build_listing(images=str(two_folders[0]), masks=str(two_folders[1])),
    ]
    assert [listing.source for listing in listings] == ["DUTS: DUTS-TR", "DUTS-TR", "DUTSv2", "images and masks"]
    assert {tuple(ids(listing)) for listing in listings} == {("a", "b", "c")}
    assert len({listing.listing_hash for listing in listings}) == 1


def test_folder_of_photos_without_masks(two_folders: tuple[Path, Path]) -> None:
    listing = build_listing(str(two_folders[0]), allow_missing_masks=True)
    assert listing.source == "photos"
    assert [row.mask for row in listing.rows] == [None, None, None]
    assert listing.notes == ("3 photos without a mask, used with an empty one: a.jpg, b.jpg, c.jpg",)


def test_example_photos_of_this_project() -> None:
    listing = build_listing(str(Path(__file__).parents[3] / "examples" / "DUTS"))
    assert 6 <= len(listing) <= 10
    assert listing.notes == ()


def test_memory_file_system() -> None:
    memory = fsspec.filesystem("memory")
    for name in ("DUTS-TR-Image/ä.jpg", "DUTS-TR-Image/b.JPG", "DUTS-TR-Mask/b.png", "DUTS-TR-Mask/ä.png"):
        memory.pipe(f"/bucket/DUTS/DUTS-TR/{name}", b"")
    listing = build_listing("memory://bucket/DUTS/")
    assert ids(listing) == ["b", "ä"]
    assert listing.rows[1].image == "memory://bucket/DUTS/DUTS-TR/DUTS-TR-Image/ä.jpg"
    assert all(memory.exists(row.image) and memory.exists(row.mask) for row in listing.rows)
    with pytest.raises(InputError, match="the folder memory://bucket/nothing does not exist"):
        build_listing("memory://bucket/nothing")


def test_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    duts(tmp_path / "DUTS")
    monkeypatch.chdir(tmp_path)
    assert build_listing("DUTS").rows[0].image == str(tmp_path / "DUTS/DUTS-TR/DUTS-TR-Image/a.jpg")


# Names


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


# Missing partners


def test_photos_without_mask_are_refused_with_their_names(two_folders: tuple[Path, Path]) -> None:
    images, masks = two_folders
    touch(*(images / f"lonely{i}.jpg" for i in range(5)))
    with pytest.raises(
        InputError,
        match=rf"5 of 8 photos have no mask: lonely0.jpg, lonely1.jpg, lonely2.jpg and 2 more; "
        rf"expected a mask of the same name .* in {masks}; .*--allow-missing-masks",
    ):
        build_listing(images=str(images), masks=str(masks))


def test_photos_without_mask_are_kept_on_demand(two_folders: tuple[Path, Path]) -> None:
    images, masks = two_folders
    touch(images / "lonely.jpg")
    listing = build_listing(images=str(images), masks=str(masks), allow_missing_masks=True)
    assert {row.id: row.mask is None for row in listing.rows} == {"a": False, "b": False, "c": False, "lonely": True}
    assert listing.photos_without_mask == ("lonely.jpg",)


def test_masks_without_photo_are_left_out_with_a_note(two_folders: tuple[Path, Path]) -> None:
    images, masks = two_folders
    touch(masks / "y.png", masks / "z.png")
    listing = build_listing(images=str(images), masks=str(masks))
    assert ids(listing) == ["a", "b", "c"]
    assert listing.masks_without_photo == ("y.png", "z.png")
    assert listing.notes == ("2 masks without a photo, left out: y.png, z.png",)


def test_empty_mask_folder_is_refused(two_folders: tuple[Path, Path], tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match=rf"3 of 3 photos have no mask: .* in {empty}; .*--allow-missing-masks"):
        build_listing(images=str(two_folders[0]), masks=str(empty))
    assert len(build_listing(images=str(two_folders[0]), masks=str(empty), allow_missing_masks=True)) == 3


def test_missing_mask_folder_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "DUTS-TR/DUTS-TR-Image/a.jpg", tmp_path / "v2/JPEGImages/a.jpg")
    with pytest.raises(InputError, match=r"holds DUTS-TR-Image but no DUTS-TR-Mask; .*--allow-missing-masks"):
        build_listing(str(tmp_path))
    with pytest.raises(InputError, match=r"holds JPEGImages but no Annotations; .*--allow-missing-masks"):
        build_listing(str(tmp_path / "v2"))
    assert len(build_listing(str(tmp_path), allow_missing_masks=True)) == 1


# Promises


def test_input_is_left_as_it_was(tmp_path: Path) -> None:
    duts(tmp_path)
    before = sorted((str(p), p.stat().st_mtime_ns) for p in tmp_path.rglob("*"))
    build_listing(str(tmp_path))
    assert sorted((str(p), p.stat().st_mtime_ns) for p in tmp_path.rglob("*")) == before


def test_errors_are_of_the_package() -> None:
    assert issubclass(InputError, PipelineError)


def test_listing_cannot_be_changed(tmp_path: Path) -> None:
    listing = build_listing(str(duts(tmp_path)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        listing.rows[0].id = "x"


def test_files_are_not_touched_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    duts(tmp_path, stems=tuple(f"{i:05}" for i in range(2000)))
    calls = []
    real = os.stat
    monkeypatch.setattr(os, "stat", lambda *args, **kwargs: calls.append(args) or real(*args, **kwargs))
    assert len(build_listing(str(tmp_path))) == 2000
    assert len(calls) < 50


def test_neither_torch_nor_ray_is_imported() -> None:
    code = (
        "import sys, pipeline.photos.listing, pipeline.photos.decoding\n"
        "print(sorted({'torch', 'ray'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
