"""The listing of an input: its photos and masks, with stable ids in a stable order.

The id of a sample is the stem of its photo's name, normalised by NFC. It is the same whether the photo is read as part
of DUTS, of DUTS-TR alone, or from the flat folder of DUTSv2 (whose files keep the same stems), and it does not depend
on other photos. Two photos with one stem are therefore refused, not renamed. Rows are sorted by id, by code points.
"""

import hashlib
import posixpath
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from pipeline.errors import InputError
from pipeline.photos.folders import Folder, is_image, name_of, some
from pipeline.photos.layouts import Split, recognise, two_folders
from pipeline.photos.rows import Row, Rows


@dataclass(frozen=True)
class Listing:
    """The photos and masks of an input, in order.

    Attributes:
        rows: one row for each photo, sorted by id; ids are unique.
        source: kind of the folder tree, in words.
        listing_hash: sha256 (hex) of the ids and the names of photos and masks. It depends neither on the place of the
            input nor on the contents of files, so a moved or copied dataset keeps it.
        photos_without_mask: names of photos without a mask; their rows have the mask None.
        masks_without_photo: names of masks without a photo; they are left out.
        unsupported: names that are left out because they have another extension than images, have control characters,
            or are not Unicode.
    """

    rows: Sequence[Row]
    source: str
    listing_hash: str
    photos_without_mask: tuple[str, ...] = ()
    masks_without_photo: tuple[str, ...] = ()
    unsupported: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user about files that are missing or were left out; empty if there are none."""
        found = (
            (self.photos_without_mask, "photos without a mask, used with an empty one"),
            (self.masks_without_photo, "masks without a photo, left out"),
            (self.unsupported, "entries that are no images by their name, left out"),
        )
        return tuple(f"{len(names)} {what}: {some(names)}" for names, what in found if names)


def build_listing(
    input_url: str | None = None,
    *,
    images: str | None = None,
    masks: str | None = None,
    split: Split = "all",
    allow_missing_masks: bool = False,
    limit: int | None = None,
) -> Listing:
    """List an input: either `input_url`, recognised by its layout, or the two folders `images` and `masks`.

    Layouts: DUTS (holding DUTS-TR, DUTS-TE or both), DUTS-TR or DUTS-TE itself, DUTSv2 (JPEGImages, Annotations), and
    with `allow_missing_masks` a plain folder of photos. Nothing is written, and no file is opened.

    Args:
        input_url: folder, as a path or an fsspec URL.
        images: folder of photos.
        masks: folder of their masks, which have the same stems and any image extension.
        split: part of DUTS: DUTS-TR ("train"), DUTS-TE ("test") or both ("all").
        allow_missing_masks: keep photos that have no mask.
        limit: largest number of rows; the first ones are kept.

    Raises:
        InputError: the input cannot be used; the message says what was found, where, and how to repair it.
    """
    if split not in get_args(Split):
        raise InputError(f"--split is {split!r}; expected one of {', '.join(get_args(Split))}")
    if limit is not None and limit < 1:
        raise InputError(f"--limit is {limit}; expected at least 1")
    if images is not None or masks is not None:
        source, pairs = two_folders(input_url, images, masks, split, allow_missing_masks)
    elif input_url is not None:
        source, pairs = recognise(Folder.at(input_url), split, allow_missing_masks)
    else:
        raise InputError("no input; expected --input FOLDER, or --images FOLDER --masks FOLDER")
    found = _PairedFiles()
    for photos, mask_folder in pairs:
        found.add(photos, mask_folder)
    if found.photos_without_mask and not allow_missing_masks:
        raise InputError(
            f"{len(found.photos_without_mask)} of {len(found.rows)} photos have no mask: "
            f"{some(found.photos_without_mask)}; expected a mask of the same name (any image extension) in "
            f"{' or '.join(str(mask_folder) for _, mask_folder in pairs)}; add them, or pass --allow-missing-masks"
        )
    rows = Rows(sorted(found.rows.values(), key=lambda row: row.id)[:limit])
    return Listing(
        rows,
        source,
        hash_listing(rows),
        tuple(sorted(found.photos_without_mask)),
        tuple(sorted(found.masks_without_photo)),
        tuple(sorted(found.unsupported)),
    )


def find_partners(rows: Sequence[Row], folder_url: str, what: str) -> list[str]:
    """Return the path or URL of each row's picture in another folder, which has the id of the row.

    Args:
        rows: rows of a listing.
        folder_url: path or fsspec URL.
        what: word for such a picture, for messages.

    Raises:
        InputError: the folder does not exist, or some rows have no such picture.
    """
    folder = Folder.at(folder_url)
    names = _PairedFiles().by_id(folder)
    if missing := [row.id for row in rows if row.id not in names]:
        raise InputError(
            f"{len(missing)} of {len(rows)} photos have no {what}: {some(missing)}; expected one of the same name "
            f"(any image extension) in {folder}"
        )
    return [f"{folder}/{names[row.id]}" for row in rows]


class _PairedFiles:
    """Photos and masks of all pairs of folders, paired by their ids."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.photos_without_mask: list[str] = []
        self.masks_without_photo: list[str] = []
        self.unsupported: list[str] = []

    def add(self, photos: Folder, masks: Folder | None) -> None:
        """Add the photos of one folder, with their masks."""
        photo_names = self.by_id(photos)
        if not photo_names:
            raise InputError(f"no photos in {photos}; expected files such as name.jpg or name.png right in this folder")
        mask_names = {} if masks is None else self.by_id(masks)
        for sample_id, name in photo_names.items():
            image = f"{photos.url}/{name}"
            if sample_id in self.rows:
                raise InputError(_two_with_one_id(sample_id, self.rows[sample_id].image, image))
            mask = mask_names.pop(sample_id, None)
            if mask is None:
                self.photos_without_mask.append(name)
            self.rows[sample_id] = Row(sample_id, image, None if mask is None else f"{masks}/{mask}")
        self.masks_without_photo += mask_names.values()

    def by_id(self, folder: Folder) -> dict[str, str]:
        """Return the names of the images in a folder by their ids; other names are kept as unsupported."""
        names: dict[str, str] = {}
        for name in folder.names():
            if not is_image(name):
                self.unsupported.append(name)
                continue
            sample_id = unicodedata.normalize("NFC", posixpath.splitext(name_of(f"{folder}/{name}"))[0])
            if sample_id in names:
                raise InputError(_two_with_one_id(sample_id, f"{folder}/{names[sample_id]}", f"{folder}/{name}"))
            names[sample_id] = name
        return names


def _two_with_one_id(sample_id: str, first: str, second: str) -> str:
    # Names are escaped, because those that differ only in Unicode normalisation look alike.
    return (
        f"two files with the stem {sample_id}: {first!a} and {second!a}; the stem is the id of a sample and what pairs "
        "photo and mask, so it may occur once; rename or remove one"
    )


def hash_listing(rows: Sequence[Row]) -> str:
    """Return the sha256 of the ids and names of some rows; see `Listing.listing_hash`."""
    digest = hashlib.sha256()
    for row in rows:
        for part in (row.id, name_of(row.image), "" if row.mask is None else name_of(row.mask)):
            digest.update(unicodedata.normalize("NFC", part).encode() + b"\0")
    return digest.hexdigest()
