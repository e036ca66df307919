"""Layouts of folder trees with photos and masks: DUTS and its parts, DUTSv2, and any two folders."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote
from typing import Literal

from pipeline.errors import InputError
from pipeline.photos.folders import Folder, is_image, name_of, some

Split = Literal["all", "train", "test"]

Pairs = list[tuple[Folder, Folder | None]]
"""Folders of photos, each with the folder of its masks; None if there are no masks."""


def two_folders(
    input_url: str | None, images: str | None, masks: str | None, split: Split, allow_missing_masks: bool
) -> tuple[str, Pairs]:
    """Return source and pair of two folders that are given by themselves.

    Raises:
        InputError: the options contradict each other.
    """
    if input_url is not None:
        raise InputError("both --input and --images/--masks are given; expected one or the other")
    if images is None:
        raise InputError(f"--masks {masks} is given without --images; expected both")
    if masks is None and not allow_missing_masks:
        raise InputError(f"--images {images} is given without --masks; add it, or pass --allow-missing-masks")
    _refuse_split(split, "two folders")
    return "images and masks", [(Folder.at(images), None if masks is None else Folder.at(masks))]


def recognise(root: Folder, split: Split, allow_missing_masks: bool) -> tuple[str, Pairs]:
    """Recognise a layout by the names in `root`; return it in words, with its pairs of folders.

    Raises:
        InputError: the layout is unknown or incomplete; the message says what was found and what was expected.
    """
    names = root.names()
    wanted = {"all": ("DUTS-TR", "DUTS-TE"), "train": ("DUTS-TR",), "test": ("DUTS-TE",)}[split]
    if {"DUTS-TR", "DUTS-TE"}.intersection(names):
        parts = [part for part in wanted if part in names]
        pairs = [_pair(root.child(part), f"{part}-Image", f"{part}-Mask", allow_missing_masks) for part in parts]
        source = f"DUTS: {' and '.join(parts)}"
    elif {"DUTS-TR-Image", "DUTS-TE-Image"}.intersection(names):
        parts = [part for part in wanted if f"{part}-Image" in names]
        pairs = [_pair(root, f"{part}-Image", f"{part}-Mask", allow_missing_masks) for part in parts]
        source = " and ".join(parts)
    else:
        _refuse_split(split, str(root))
        if "JPEGImages" in names:
            return "DUTSv2", [_pair(root, "JPEGImages", "Annotations", allow_missing_masks)]
        photos = sum(is_image(name) for name in names)
        if photos and allow_missing_masks and not _is_half_of_a_pair(root):
            return "photos", [(root, None)]
        raise InputError(_not_recognised(root, names, photos))
    if not pairs:
        raise InputError(f"{root} holds no {wanted[0]}, which --split {split} needs; found {some(names)}")
    return source, pairs


def _pair(root: Folder, images: str, masks: str, allow_missing_masks: bool) -> tuple[Folder, Folder | None]:
    names = root.names()
    if images not in names:
        found = f"found {some(names)}" if names else "it is empty"
        raise InputError(f"{root} holds no {images}; expected {images} and {masks}, {found}")
    if masks in names:
        return root.child(images), root.child(masks)
    if allow_missing_masks:
        return root.child(images), None
    raise InputError(f"{root} holds {images} but no {masks}; add the masks, or pass --allow-missing-masks")


def _refuse_split(split: Split, where: str) -> None:
    if split != "all":
        raise InputError(f"--split {split} is given, but only DUTS has splits, and {where} is not DUTS; leave it out")


def _not_recognised(root: Folder, names: Sequence[str], photos: int) -> str:
    expected = (
        "expected DUTS (with DUTS-TR or DUTS-TE), DUTS-TR, DUTS-TE, or a folder with JPEGImages and Annotations; "
        "for any two folders pass --images FOLDER --masks FOLDER"
    )
    if not names:
        return f"{root} is empty; {expected}"
    if photos:
        if _is_half_of_a_pair(root):
            parent = root.url.rpartition("/")[0]
            return f"{root} is one folder of a pair; pass the folder that holds both: --input {quote(str(parent))}"
        return (
            f"{root} holds {photos} photos and no masks; pass --images {quote(str(root))} --masks FOLDER, or, to do "
            "without masks, --allow-missing-masks"
        )
    for name in ("DUTS", "DUTSv2"):
        if name in names:
            return f"{root} is not a data set, but holds one; pass --input {quote(str(root.child(name)))}"
    return f"{root} is no data set that is known here: found {some(names)}; {expected}"


def _is_half_of_a_pair(folder: Folder) -> bool:
    halves = ("DUTS-TR-Image", "DUTS-TR-Mask", "DUTS-TE-Image", "DUTS-TE-Mask", "JPEGImages", "Annotations")
    return name_of(folder.url) in halves
