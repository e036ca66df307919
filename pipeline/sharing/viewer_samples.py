"""A few hundred samples as pictures in one Parquet file: the viewer of the Hugging Face Hub shows no Zarr arrays."""

from __future__ import annotations

import io
from collections.abc import Container, Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.dataset.spread import spread
from pipeline.dataset.store import DatasetStore
from pipeline.files.pictures import photo_jpeg
from pipeline.sharing.parquet_files import PICTURE, Row, write_parquet
from pipeline.showing.preview import sample_pictures
from pipeline.showing.sheets import scaled_to

SAMPLES = 256
SIDE_PX = 320
"""Longest side of a picture; smaller samples are not enlarged."""
_ROWS_PER_GROUP = 64


def viewer_columns(store: DatasetStore, *, with_images: bool = True) -> dict[str, str]:
    """Return name -> type of the columns, as `write_parquet` takes them.

    Args:
        store: the dataset.
        with_images: whether pictures may show the photos.
    """
    photo = {"photo": PICTURE} if with_images else {}
    depth = {"inverse_depth": PICTURE} if store.layout.is_simulated else {}
    sizes = {"height": "int32", "width": "int32", "longest_flow_px": "float32"}
    return {"id": "string", **photo, **depth, "flow": PICTURE, "mask": PICTURE, **sizes}


def viewer_samples(store: DatasetStore, *, with_images: bool = True, at_most: int = SAMPLES) -> bytes:
    """Return the Parquet file with some usable samples, evenly spread, each with its first flow.

    Args:
        store: the dataset.
        with_images: whether pictures may show the photos.
        at_most: largest number of samples.
    """
    content = io.BytesIO()
    columns = viewer_columns(store, with_images=with_images)
    write_parquet(content, columns, _groups(store, columns, at_most))
    return content.getvalue()


def _groups(store: DatasetStore, columns: Container[str], at_most: int) -> Iterator[list[Row]]:
    chosen = spread(store.usable_rows(), at_most)
    for start in range(0, len(chosen), _ROWS_PER_GROUP):
        yield [_row(store, columns, row) for row in chosen[start : start + _ROWS_PER_GROUP]]


def _row(store: DatasetStore, columns: Container[str], row: int) -> Row:
    sample = sample_pictures(store, row, with_photo="photo" in columns)
    height, width = sample.size
    values = {
        "id": sample.id,
        "photo": None if sample.photo is None else _jpeg(sample.photo),
        "inverse_depth": None if sample.depth is None else _jpeg(sample.depth),
        "flow": _jpeg(sample.flows[0]),
        "mask": _jpeg(sample.mask),
        "height": height,
        "width": width,
        "longest_flow_px": sample.longest_px,
    }
    return {name: value for name, value in values.items() if name in columns}


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    return photo_jpeg(np.asarray(scaled_to(pixels, min(SIDE_PX, max(pixels.shape[:2])))))
