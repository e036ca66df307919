"""Find photos and their masks; give them stable ids and a stable order.

The id of a sample is the stem of its photo's name, NFC-normalised. It is the same whether the photo is read as part of
DUTS, of DUTS-TR alone, or from the flat folder of DUTSv2 (whose files keep the same stems), and whatever else is
read with it. Two photos with one stem are therefore refused, not renamed. Rows are sorted by id, by code points.
"""

import hashlib
import posixpath
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Literal, get_args
from urllib.parse import unquote

import fsspec
from fsspec.implementations.local import LocalFileSystem

from pipeline.errors import InputError, PipelineError
from pipeline.files.ids import is_plain, shown
from pipeline.files.storage import open_filesystem
from pipeline.photos.rows import Row, Rows

Split = Literal["all", "train", "test"]

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"})
_IGNORED_NAMES = frozenset({"thumbs.db", "desktop.ini"})
_LISTED = 3  # names shown in a message before "and n more"


@dataclass(frozen=True)
class Manifest:
    """The samples of a run, in order.

    Attributes:
        rows: sorted by id; ids are unique.
        source: which kind of folder tree was recognised, in words.
        listing_hash: sha256 (hex) over ids and the names of photos and masks below the input, not over where the input
            lies nor over file contents: a moved or copied data set keeps it.
        photos_without_mask: names; their rows are there, with mask None.
        masks_without_photo: names; left out.
        unsupported: names that are no image's: another extension, control characters, or not Unicode; left out.
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
        """Sentences for the user about what is missing or was left out; empty where all is well."""
        found = (
            (self.photos_without_mask, "photos without a mask, used with an empty one"),
            (self.masks_without_photo, "masks without a photo, left out"),
            (self.unsupported, "entries that are no images by their name, left out"),
        )
        return tuple(f"{len(names)} {what}: {_some(names)}" for names, what in found if names)


def build_manifest(
    input_url: str | None = None,
    *,
    images: str | None = None,
    masks: str | None = None,
    split: Split = "all",
    allow_missing_masks: bool = False,
    limit: int | None = None,
) -> Manifest:
    """List a data set: either `input_url`, recognised by its layout, or the two folders `images` and `masks`.

    Layouts: DUTS (holding DUTS-TR, DUTS-TE or both), DUTS-TR or DUTS-TE itself, DUTSv2 (JPEGImages, Annotations), and
    with `allow_missing_masks` a plain folder of photos. Nothing is written, and no file is opened.

    Args:
        input_url: folder, as a path or an fsspec URL.
        images: folder of photos.
        masks: folder of their masks: same stems, any image extension.
        split: of DUTS, DUTS-TR ("train"), DUTS-TE ("test") or what there is ("all").
        allow_missing_masks: keep photos that have no mask.
        limit: keep the first so many rows.

    Raises:
        InputError: what was found instead, where, and how to repair it.
    """
    if split not in get_args(Split):
        raise InputError(f"--split is {split!r}; expected one of {', '.join(get_args(Split))}")
    if limit is not None and limit < 1:
        raise InputError(f"--limit is {limit}; expected at least 1")
    if images is not None or masks is not None:
        source, pairs = _two_folders(input_url, images, masks, split, allow_missing_masks)
    elif input_url is not None:
        source, pairs = _recognise(_Folder.at(input_url), split, allow_missing_masks)
    else:
        raise InputError("no input; expected --input FOLDER, or --images FOLDER --masks FOLDER")
    listing = _Listing()
    for photos, mask_folder in pairs:
        listing.add(photos, mask_folder)
    if listing.photos_without_mask and not allow_missing_masks:
        raise InputError(
            f"{len(listing.photos_without_mask)} of {len(listing.rows)} photos have no mask: "
            f"{_some(listing.photos_without_mask)}; expected a mask of the same name (any image extension) in "
            f"{' or '.join(str(mask_folder) for _, mask_folder in pairs)}; add them, or pass --allow-missing-masks"
        )
    rows = Rows(sorted(listing.rows.values(), key=lambda row: row.id)[:limit])
    return Manifest(
        rows,
        source,
        hash_listing(rows),
        tuple(sorted(listing.photos_without_mask)),
        tuple(sorted(listing.masks_without_photo)),
        tuple(sorted(listing.unsupported)),
    )


def find_partners(rows: Sequence[Row], folder_url: str, what: str) -> list[str]:
    """Return the picture that belongs to each row: the one of its id in another folder.

    Args:
        rows: of a manifest.
        folder_url: path or fsspec URL.
        what: the pictures are called in the message.

    Raises:
        InputError: the folder is not there, or rows have no such picture.
    """
    folder = _Folder.at(folder_url)
    names = _Listing().by_id(folder)
    if missing := [row.id for row in rows if row.id not in names]:
        raise InputError(
            f"{len(missing)} of {len(rows)} photos have no {what}: {_some(missing)}; expected one of the same name "
            f"(any image extension) in {folder}"
        )
    return [f"{folder}/{names[row.id]}" for row in rows]


@dataclass(frozen=True)
class _Folder:
    """A folder in any file system that fsspec knows."""

    url: str  # absolute path if local, else the URL
    file_system: fsspec.AbstractFileSystem
    path: str  # as `file_system` names it

    @classmethod
    def at(cls, url: str) -> "_Folder":
        try:
            file_system, path = open_filesystem(url)
        except PipelineError as error:
            raise InputError(str(error)) from None
        is_local = isinstance(file_system, LocalFileSystem)
        return cls(path if is_local else url.rstrip("/"), file_system, path)

    def child(self, name: str) -> "_Folder":
        return _Folder(f"{self.url}/{name}", self.file_system, f"{self.path}/{name}")

    def names(self) -> list[str]:
        """List what is in it, without hidden files and what systems leave behind; one call, no stat per file."""
        try:
            paths = [path.rstrip("/") for path in self.file_system.ls(self.path, detail=False)]
        except FileNotFoundError as error:
            raise InputError(f"the folder {self.url} does not exist; expected photos there; check the path") from error
        except OSError as error:
            raise InputError(f"the folder {self.url} cannot be listed: {error.strerror or error}") from error
        except (
            Exception
        ) as error:  # clients of object stores: botocore's NoCredentialsError, for one, is nothing closer
            raise InputError(
                f"the folder {self.url} cannot be listed: {error}; check address and credentials"
            ) from error
        own = self.path.rstrip("/")
        if paths == [own] and self.file_system.isfile(own):
            raise InputError(f"{self.url} is a file; expected a folder")
        names = (path.rpartition("/")[2] for path in paths if path != own)
        return [name for name in names if not name.startswith(".") and name.lower() not in _IGNORED_NAMES]

    def __str__(self) -> str:
        return self.url


class _Listing:
    """What is found in pairs of folders, gathered over all pairs."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.photos_without_mask: list[str] = []
        self.masks_without_photo: list[str] = []
        self.unsupported: list[str] = []

    def add(self, photos: _Folder, masks: _Folder | None) -> None:
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

    def by_id(self, folder: _Folder) -> dict[str, str]:
        """Return id -> name of the images in a folder; other names are noted as unsupported."""
        names: dict[str, str] = {}
        for name in folder.names():
            if not _is_image(name):
                self.unsupported.append(name)
                continue
            sample_id = unicodedata.normalize("NFC", posixpath.splitext(_name(f"{folder}/{name}"))[0])
            if sample_id in names:
                raise InputError(_two_with_one_id(sample_id, f"{folder}/{names[sample_id]}", f"{folder}/{name}"))
            names[sample_id] = name
        return names


_Pairs = list[tuple[_Folder, _Folder | None]]


def _two_folders(
    input_url: str | None, images: str | None, masks: str | None, split: Split, allow_missing_masks: bool
) -> tuple[str, _Pairs]:
    if input_url is not None:
        raise InputError("both --input and --images/--masks are given; expected one or the other")
    if images is None:
        raise InputError(f"--masks {masks} is given without --images; expected both")
    if masks is None and not allow_missing_masks:
        raise InputError(f"--images {images} is given without --masks; add it, or pass --allow-missing-masks")
    _refuse_split(split, "two folders")
    return "images and masks", [(_Folder.at(images), None if masks is None else _Folder.at(masks))]


def _recognise(root: _Folder, split: Split, allow_missing_masks: bool) -> tuple[str, _Pairs]:
    """Tell the layout from the names in `root`, and find its pairs of folders."""
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
        photos = sum(_is_image(name) for name in names)
        if photos and allow_missing_masks and not _is_half_of_a_pair(root):
            return "photos", [(root, None)]
        raise InputError(_not_recognised(root, names, photos))
    if not pairs:
        raise InputError(f"{root} holds no {wanted[0]}, which --split {split} needs; found {_some(names)}")
    return source, pairs


def _pair(root: _Folder, images: str, masks: str, allow_missing_masks: bool) -> tuple[_Folder, _Folder | None]:
    names = root.names()
    if images not in names:
        found = f"found {_some(names)}" if names else "it is empty"
        raise InputError(f"{root} holds no {images}; expected {images} and {masks}, {found}")
    if masks in names:
        return root.child(images), root.child(masks)
    if allow_missing_masks:
        return root.child(images), None
    raise InputError(f"{root} holds {images} but no {masks}; add the masks, or pass --allow-missing-masks")


def _refuse_split(split: Split, where: str) -> None:
    if split != "all":
        raise InputError(f"--split {split} is given, but only DUTS has splits, and {where} is not DUTS; leave it out")


def _not_recognised(root: _Folder, names: Sequence[str], photos: int) -> str:
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
    return f"{root} is no data set that is known here: found {_some(names)}; {expected}"


def _is_half_of_a_pair(folder: _Folder) -> bool:
    halves = ("DUTS-TR-Image", "DUTS-TR-Mask", "DUTS-TE-Image", "DUTS-TE-Mask", "JPEGImages", "Annotations")
    return _name(folder.url) in halves


def _two_with_one_id(sample_id: str, first: str, second: str) -> str:
    # escaped: names that differ only in Unicode normalisation look alike
    return (
        f"two files with the stem {sample_id}: {first!a} and {second!a}; the stem is the id of a sample and what pairs "
        "photo and mask, so it may occur once; rename or remove one"
    )


def _is_image(name: str) -> bool:
    return posixpath.splitext(name)[1].lower() in EXTENSIONS and is_plain(name)


def _some(names: Sequence[str]) -> str:
    listed = sorted(names)[:_LISTED]
    named = ", ".join(map(shown, listed))
    more = len(names) - len(listed)
    return f"{named} and {more} more" if more else named


def hash_listing(rows: Sequence[Row]) -> str:
    """Return the sha256 of the ids and names of some rows, as in `Manifest.listing_hash`."""
    digest = hashlib.sha256()
    for row in rows:
        for part in (row.id, _name(row.image), "" if row.mask is None else _name(row.mask)):
            digest.update(unicodedata.normalize("NFC", part).encode() + b"\0")
    return digest.hexdigest()


def _name(url: str) -> str:
    """Return the name of a file or folder as it is on a disk; web servers list it percent-encoded."""
    name = url.rpartition("/")[2]
    return unquote(name) if url.startswith(("http://", "https://")) else name
