"""The published tree: `JPEGImages`, `JPEGFlows` and `Annotations`, as the original training code reads DUTSv2."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.dataset import schema
from pipeline.files.ids import is_plain
from pipeline.files.pictures import FLOWS, JPEG_QUALITY, MASKS, PHOTOS, flow_jpeg, mask_png, photo_jpeg
from pipeline.files.whole_files import write_whole
from pipeline.sharing.export_tree import TreeOfSamples, UnusableNameError


class PublishedTree(TreeOfSamples):
    """`JPEGImages/<id>.jpg`, `JPEGFlows/<id>.jpg` and `Annotations/<id>.png`.

    The original code pairs the files of the three folders by position, so all have the same names. With several motions
    a photo is written once for each, as `<id>_m0`, `<id>_m1`, ...
    """

    folders = (PHOTOS, FLOWS, MASKS)

    def description(self) -> dict[str, Any]:
        """Return the values on which the pictures depend."""
        return {
            "fingerprint": self.store.attributes["fingerprint"],
            "jpeg_quality": JPEG_QUALITY,
            "flow": "colours of Baker et al., the longest vector of each picture at full saturation: direction and "
            "relative length alone",
        }

    def files(self, row: int) -> list[Path]:
        """Return the files of all motions of a row."""
        return [path for triple in self._triples(row) for path in triple]

    def writers(self, rows: Sequence[int]) -> Iterator[tuple[int, Callable[[], None]]]:
        """Read neighbouring rows at once, and yield each with a function that writes its pictures."""
        if not rows:
            return
        first, last = min(rows), max(rows) + 1
        names = ("size", "image", "mask", "flow")
        sizes, photos, masks, flows = (self.store.read(name, slice(first, last)) for name in names)
        for row in rows:
            place = row - first
            height, width = (int(side) for side in sizes[place])
            inside = slice(height), slice(width)
            yield (
                row,
                partial(
                    self._write, row, photos[place][inside], masks[place][inside], flows[place, :, :height, :width]
                ),
            )

    def _write(self, row: int, photo: NDArray[np.uint8], mask: NDArray[np.uint8], flows: NDArray[np.int16]) -> None:
        shown, outline = photo_jpeg(photo), mask_png(mask)
        for (photo_path, flow_path, mask_path), steps in zip(self._triples(row), flows, strict=True):
            write_whole(photo_path, shown)
            write_whole(flow_path, flow_jpeg(schema.decode_flow(steps)))
            write_whole(mask_path, outline)

    def _triples(self, row: int) -> list[tuple[Path, Path, Path]]:
        """Return the files of photo, flow and mask for each motion of a row."""
        return [
            (self.root / PHOTOS / f"{stem}.jpg", self.root / FLOWS / f"{stem}.jpg", self.root / MASKS / f"{stem}.png")
            for stem in _stems(self.ids[row], self.store.layout.motions)
        ]


def _stems(sample_id: str, motions: int) -> list[str]:
    if not is_plain(sample_id) or Path(sample_id).name != sample_id:
        raise UnusableNameError(
            "the id cannot be a file's name; the dataset was not made by `pipeline run`, or changed since"
        )
    return [sample_id] if motions == 1 else [f"{sample_id}_m{k}" for k in range(motions)]
