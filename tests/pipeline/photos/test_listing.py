"""The listing of an input: its trees, photos and masks without a partner, and its promises."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest

from pipeline.errors import InputError, PipelineError
from pipeline.photos.listing import build_listing
from tests.pipeline.photos.photo_trees import duts, ids, touch

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
