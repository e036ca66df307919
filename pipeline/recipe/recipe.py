"""The recipe of a dataset: everything that decides its content, with checksums of what it is made of and of the result.

It is a JSON file whose top level can be read by people: settings, versions, depth model, numbers. What it says about
single photos stands in compact columns (`columns.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.dataset.schema import Layout
from pipeline.dataset.sealed import sealed_json
from pipeline.dataset.store import DatasetStore
from pipeline.making.config import fingerprint
from pipeline.recipe.columns import PhotoColumns, pack, pack_text

KIND = "fakeflow recipe"
VERSION = 1
BEGINNING = f'"format": "{KIND} '.encode()
"""Bytes near the beginning of the file of every recipe."""
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
