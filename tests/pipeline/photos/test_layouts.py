import os
from pathlib import Path

import fsspec
import pytest

from pipeline.errors import InputError
from pipeline.photos.listing import build_listing
from tests.pipeline.photos.photo_trees import duts, touch


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"the folder {tmp_path}/nothing does not exist; .*check the path"):
        build_listing(f"{tmp_path}/nothing")


def test_file_instead_of_a_folder(tmp_path: Path) -> None:
    touch(tmp_path / "photo.jpg")
    with pytest.raises(InputError, match=r"photo\.jpg is a file; expected a folder"):
        build_listing(str(tmp_path / "photo.jpg"))


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{tmp_path} is empty; expected DUTS .*--images FOLDER --masks FOLDER"):
        build_listing(str(tmp_path))


def test_empty_image_folder(tmp_path: Path) -> None:
    for kind in ("Image", "Mask"):
        (tmp_path / "DUTS-TR" / f"DUTS-TR-{kind}").mkdir(parents=True)
    with pytest.raises(InputError, match=r"no photos in .*DUTS-TR-Image; expected files such as"):
        build_listing(str(tmp_path))


def test_part_of_duts_without_image_folder(tmp_path: Path) -> None:
    touch(tmp_path / "DUTS-TR" / "notes.txt")
    with pytest.raises(InputError, match=r"holds no DUTS-TR-Image; expected .* found notes\.txt"):
        build_listing(str(tmp_path))


@pytest.mark.parametrize("kind", ["Image", "Mask"])
def test_one_folder_of_a_pair(tmp_path: Path, kind: str) -> None:
    part = duts(tmp_path) / "DUTS-TR"
    with pytest.raises(InputError, match=f"is one folder of a pair; .*--input {part}$"):
        build_listing(f"{part}/DUTS-TR-{kind}/")


def test_folder_above_the_data_set(tmp_path: Path) -> None:
    duts(tmp_path / "DUTS")
    with pytest.raises(InputError, match=f"holds one; pass --input {tmp_path}/DUTS$"):
        build_listing(str(tmp_path))


def test_plain_folder_of_photos(two_folders: tuple[Path, Path]) -> None:
    images, _ = two_folders
    with pytest.raises(InputError, match=f"{images} holds 3 photos and no masks; .*--allow-missing-masks"):
        build_listing(str(images))


def test_folder_of_something_else(tmp_path: Path) -> None:
    touch(tmp_path / "a.py", tmp_path / "b.py")
    with pytest.raises(InputError, match=r"is no data set that is known here: found a\.py, b\.py; expected DUTS"):
        build_listing(str(tmp_path))


def test_unknown_protocol() -> None:
    with pytest.raises(InputError, match=r"nosuch://bucket/x cannot be opened .*Check the URL"):
        build_listing("nosuch://bucket/x")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may list every folder")
def test_folder_without_permission(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    with pytest.raises(InputError, match="cannot be listed: Permission denied"):
        build_listing(str(tmp_path / "closed"))


def test_path_that_the_system_refuses() -> None:
    with pytest.raises(InputError, match="cannot be listed: File name too long"):
        build_listing("/" + "x" * 1000)


class _Locked(fsspec.AbstractFileSystem):
    """An object store that cannot be reached, with a root exception of its own, as botocore has."""

    class NoCredentialsError(Exception):
        pass

    def ls(self, path: str, detail: bool = True, **kwargs: object) -> list[str]:
        raise self.NoCredentialsError("Unable to locate credentials")


def test_object_store_without_credentials() -> None:
    fsspec.register_implementation("locked", _Locked, clobber=True)
    with pytest.raises(InputError, match=r"locked://bucket/x cannot be listed: Unable to locate credentials; check"):
        build_listing("locked://bucket/x")


# Arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "no input; expected --input FOLDER"),
        ({"masks": "m"}, "--masks m is given without --images"),
        ({"images": "i"}, "--images i is given without --masks; .*--allow-missing-masks"),
        ({"input_url": "x", "images": "i"}, "both --input and --images/--masks are given"),
        ({"images": "i", "masks": "m", "split": "train"}, "--split train is given, but only DUTS has splits"),
        ({"input_url": "x", "split": "val"}, "--split is 'val'; expected one of all, train, test"),
        ({"input_url": "x", "limit": 0}, "--limit is 0; expected at least 1"),
    ],
)
def test_contradicting_arguments(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_listing(**arguments)


@pytest.mark.parametrize("folder", ["", "DUTS-TR"])
def test_split_that_is_not_there(tmp_path: Path, folder: str) -> None:
    duts(tmp_path)
    with pytest.raises(InputError, match=r"holds no DUTS-TE.*, which --split test needs"):
        build_listing(str(tmp_path / folder), split="test")


def test_split_of_a_set_without_splits(tmp_path: Path) -> None:
    touch(tmp_path / "JPEGImages/a.jpg", tmp_path / "Annotations/a.png")
    with pytest.raises(InputError, match="--split test is given, but only DUTS has splits"):
        build_listing(str(tmp_path), split="test")
