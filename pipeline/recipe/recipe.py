"""The recipe of a dataset: everything that decides its content, with checksums of what it is made of and of the result.

It is a JSON file whose top level can be read by people: settings, versions, depth model, numbers. What it says about
single photos stands in compact columns (`columns.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.dataset.inventory import MALFORMED
from pipeline.dataset.schema import Layout
from pipeline.dataset.sealed import is_intact, sealed_json
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError, UnusablePhoto
from pipeline.files.ids import is_plain
from pipeline.files.storage import explained
from pipeline.making.config import fingerprint
from pipeline.photos.originals import read_original
from pipeline.recipe.columns import LONGEST_ID, SHARD_BYTES, PhotoColumns, pack, pack_text, table, unpack_text
from pipeline.redaction import without_credentials

KIND = "fakeflow recipe"
VERSION = 1
BEGINNING = f'"format": "{KIND} '.encode()
"""Bytes near the beginning of the file of every recipe."""
_LARGEST_PRIOR_BYTES = 2**20
_ABOUT = {
    "use": "pipeline run --recipe THIS_FILE --input PHOTOS --output NEW.zarr",
    "columns": "Base85 (RFC 1924); ids and motion_prior are compressed by zlib first",
    "photo, mask": "20 bytes each: the first 160 bits of the SHA-256 of the file; zeros where there is none",
    "source_mark, made_mark": "4 bytes each: CRC-32C of a sample's values; shows where datasets differ, proves nothing",
    "depth": "4 bytes: mean inverse depth of each quarter of the picture in steps of 1/255",
    "flow": "4 bytes: mean u and v in px, float16",
    "shards": "32 bytes each: the SHA-256 over the SHA-256 of every file of the shard",
    "file_sha256": "SHA-256 of this file with these 64 digits set to zero; it shows damage, and is no signature",
}


@dataclass(frozen=True, eq=False)
class Recipe:
    """A recipe.

    Attributes:
        settings: all settings of the dataset, as in its attributes.
        source: kind of the folder tree that the photos came from, in words.
        licence: licence of the dataset in words.
        layout: sizes of the dataset.
        software: versions of the libraries that made the dataset; empty if they are not known.
        precision: arithmetic of the depth network -> number of shards.
        ids: ids of the photos, rising.
        failures: row -> short reason of the photos that could not be used.
        columns: what is known about each photo.
        shards: (shards, 32) uint8, the checksum of each shard.
    """

    settings: Mapping[str, Any]
    source: str
    licence: str
    layout: Layout
    software: Mapping[str, str]
    precision: Mapping[str, int]
    ids: tuple[str, ...]
    failures: Mapping[int, str]
    columns: PhotoColumns
    shards: NDArray[np.uint8]

    def to_json(self) -> bytes:
        """Return the content of the recipe's file."""
        sizes = asdict(self.layout)
        layout = {name: value for name, value in sizes.items() if value or name not in DatasetStore.rare_sizes}
        return sealed_json(
            {
                "format": f"{KIND} {VERSION}",
                "written_by": f"fakeflow {version('fakeflow')}",
                "about": _ABOUT,
                "photos": len(self.ids),
                "failed": len(self.failures),
                "fingerprint": fingerprint(self.settings),
                "source": self.source,
                "licence": self.licence,
                "software": dict(self.software),
                "precision": dict(self.precision),
                "settings": {name: value for name, value in self.settings.items() if name != "motion_prior"},
                "layout": {**layout, "motion_parameters": " ".join(self.layout.motion_parameters)},
                "failures": " ".join(f"{row}:{reason}" for row, reason in self.failures.items()),
                "motion_prior": pack_text(json.dumps(self.settings["motion_prior"])),
                "ids": pack_text("\n".join(self.ids)),
                **self.columns.to_texts(),
                "shards": pack(self.shards.tobytes()),
            }
        )


def read_recipe(url: str) -> Recipe:
    """Read the recipe at a path or URL.

    Raises:
        PipelineError: there is none, it was changed after it was written, or it is of another version.
    """
    name = without_credentials(url)
    try:
        with explained(name, "read"):
            content = read_original(url).content
    except (FileNotFoundError, NotADirectoryError):
        raise PipelineError(f"{name}: there is no recipe here. Write one with `pipeline recipe X.zarr FILE`.") from None
    except UnusablePhoto as problem:
        raise PipelineError(f"{name} cannot be read as a recipe: {problem}") from None
    return parse_recipe(content, name)


def parse_recipe(content: bytes, name: str) -> Recipe:
    """Read the content of a recipe's file; `name` is its place, for messages.

    Raises:
        PipelineError: as in `read_recipe`.
    """
    try:
        stored = json.loads(content)
        kind = str(stored["format"])
    except MALFORMED:
        if BEGINNING in content[:100]:
            raise PipelineError(f"{name} is an incomplete or damaged recipe; get it again.") from None
        raise PipelineError(f"{name} is no recipe; expected a file that `pipeline recipe` wrote.") from None
    if not kind.startswith(f"{KIND} "):
        raise PipelineError(f"{name} is no recipe but {kind!r}; expected a file that `pipeline recipe` wrote.")
    if kind != f"{KIND} {VERSION}":
        raise PipelineError(
            f"{name} is a recipe of version {kind.removeprefix(KIND).strip()}, written by "
            f"{stored.get('written_by', 'an unknown version')}; this fakeflow {version('fakeflow')} reads version "
            f"{VERSION}. Install the version that wrote it."
        )
    if not is_intact(content):
        raise PipelineError(
            f"{name} was changed after it was written: it differs from its own checksum. Get the file again from where "
            "the dataset was published."
        )
    try:
        return _parsed(stored)
    except MALFORMED as error:
        raise PipelineError(f"{name} is not what a recipe is ({error}); do not use it.") from None


def _parsed(stored: Mapping[str, Any]) -> Recipe:
    photos = int(stored["photos"])
    prior = json.loads(unpack_text(stored["motion_prior"], _LARGEST_PRIOR_BYTES))
    settings = {**stored["settings"], "motion_prior": prior}
    if fingerprint(settings) != stored["fingerprint"]:
        raise ValueError("its settings do not give its fingerprint")
    parameters = stored["layout"]["motion_parameters"].split()
    layout = DatasetStore.read_layout({**stored["layout"], "motion_parameters": parameters})
    columns = PhotoColumns.from_texts(stored, photos)
    ids = tuple(unpack_text(stored["ids"], LONGEST_ID * photos).split("\n"))
    if len(ids) != photos or photos != layout.samples or photos != settings["photos"]:
        raise ValueError("its numbers of photos differ")
    if any(not is_plain(one) for one in ids) or any(one >= other for one, other in pairwise(ids)):
        raise ValueError("its ids do not rise, or cannot be printed")
    failures = {int(row): reason for row, _, reason in (one.partition(":") for one in stored["failures"].split())}
    if any(row not in range(photos) for row in failures):
        raise ValueError("a failure has no photo")
    return Recipe(
        settings=settings,
        source=str(stored["source"]),
        licence=str(stored["licence"]),
        layout=layout,
        software=dict(stored["software"]),
        precision=dict(stored["precision"]),
        ids=ids,
        failures=failures,
        columns=columns,
        shards=table(stored["shards"], layout.shard_count, SHARD_BYTES),
    )
