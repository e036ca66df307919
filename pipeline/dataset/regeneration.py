"""Arrays that a dataset leaves out, made again when they are read.

Flow and frames follow from depth, mask and motion; `image` is decoded from the photo, whose bytes are checked first. On
the kind of processor that the run used, the values are those that it stored, to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.dataset.clips import arrays_of_clip, clip_of_row, motions_of_row
from pipeline.dataset.sample_reader import SampleReader
from pipeline.dataset.schema import Layout, array_specs, decode_inverse_depth, encode_flow, picture_part
from pipeline.dataset.sharded_store import ShardedStore
from pipeline.errors import InputError, PipelineError, UnusablePhoto
from pipeline.files.ids import shown
from pipeline.files.storage import explained
from pipeline.photos.decoding import decode_photo
from pipeline.photos.listing import build_listing
from pipeline.photos.originals import read_original

KEPT_ROWS = 8
"""Number of rows whose frames are kept, because their arrays are read one after the other."""
KEPT_SHARDS = 4096
"""Number of shards whose photos' checksums are kept in memory, about 5 kB each."""


def make_arrays(
    stored: Mapping[str, NDArray[Any]], motions: NDArray[np.float64], frames: int
) -> dict[str, NDArray[Any]]:
    """Make flow and frames of one sample from the other values that its row stores.

    Args:
        stored: `mask` and `inverse_depth`, (h, w) without padding; with frames also `image`, `opacity` and, where there
            are several objects, `labels`.
        motions: resolved parameters of the motions, (k, parameters) or (k, objects, parameters).
        frames: number of frames of a sample, the photo included.

    Returns:
        Name -> values, (k, ...), as stored and without padding: `flow` and, with frames, what `arrays_of_clip` names.

    Raises:
        FlowsimError: the values are no picture that can be moved.
    """
    if frames > 1:
        labels = stored["labels"] if "labels" in stored else (stored["mask"] > 0).astype(np.uint8)
        drawn = [motions_of_row(parameters, labels) for parameters in motions]
        clips = clip_of_row(stored["image"], labels, stored["opacity"], stored["inverse_depth"], drawn, frames)
        arrays = [arrays_of_clip(clip) for clip in clips]
        return {name: np.stack([one[name] for one in arrays]) for name in arrays[0]}
    from flowsim import MotionSample, simulate_flow

    depth, mask = decode_inverse_depth(stored["inverse_depth"]), stored["mask"] > 0
    made = [simulate_flow(depth, mask, MotionSample.from_vector(parameters)) for parameters in motions]
    return {"flow": np.stack([encode_flow(one.flow, one.valid) for one in made])}


class Regeneration:
    """Makes rows of the arrays that a dataset leaves out.

    Args:
        store: a dataset with `left_out` in its layout.
        photos: folder or URL of its photos, in any layout that `pipeline run` reads; None if there are none.
    """

    def __init__(self, store: ShardedStore[Layout], photos: str | None) -> None:
        self._store, self._photos = store, photos
        self._reader = SampleReader(store)
        self._layout = store.layout
        self._specs = array_specs(replace(self._layout, left_out=()))
        self._stored_names = array_specs(self._layout).keys()
        self._made = lru_cache(KEPT_ROWS)(self._make_others)
        self._photo_digests = lru_cache(KEPT_SHARDS)(self._read_photo_digests)

    def make(self, name: str, rows: Sequence[int]) -> list[NDArray[Any]]:
        """Return some rows of one array as they were stored; `SHOW_PHOTOS` need the photos.

        Raises:
            PipelineError: a photo is missing or has other bytes than the one that the sample was made of, or the
                dataset is damaged.
        """
        return [self._row(name, int(row)) for row in rows]

    def _row(self, name: str, row: int) -> NDArray[Any]:
        spec = self._specs[name]
        canvas = np.zeros(spec.shape[1:], spec.dtype)
        height, width = map(int, self._sizes[row])
        if min(height, width) > 0:  # a photo that failed has no size
            canvas[picture_part(name, height, width)] = self._values(name, row)
        return canvas

    def _values(self, name: str, row: int) -> NDArray[Any]:
        """Return one row of an array without padding."""
        return self._photo(row) if name == "image" else self._made(row)[name]

    def _make_others(self, row: int) -> dict[str, NDArray[Any]]:
        """Return all arrays of a row but `image`; without photos, the frames among them are meaningless."""
        names = [name for name in ("mask", "inverse_depth", "opacity", "labels") if name in self._stored_names]
        stored: dict[str, NDArray[Any]] = {name: self._stored(name, row) for name in names}
        if self._layout.frames > 1:
            # Neither flow nor occlusion nor labels depend on colours.
            black = np.zeros((*stored["mask"].shape, 3), np.uint8)
            stored["image"] = black if self._photos is None else self._photo(row)
        return make_arrays(stored, self._motions[row], self._layout.frames)

    def _stored(self, name: str, row: int) -> NDArray[Any]:
        height, width = map(int, self._sizes[row])
        return np.ascontiguousarray(self._reader.read(name, [row])[0][:height, :width])

    def _photo(self, row: int) -> NDArray[np.uint8]:
        sample_id = str(self._ids[row])
        url = self._urls.get(sample_id)
        if url is None:
            raise PipelineError(
                f"{self._store.name}: the photo of sample {shown(sample_id)} is not in {self._photos}; expected the "
                "photos that the dataset was made of, with their names."
            )
        shard, place = divmod(row, self._layout.samples_per_shard)
        wanted = self._photo_digests(shard)[place].hex()
        try:
            with explained(url, "read"):
                file = read_original(url)
            if file.record["sha256"] != wanted:
                raise PipelineError(
                    f"{url} has other bytes than the photo that sample {shown(sample_id)} of {self._store.name} was "
                    f"made of (SHA-256 {file.record['sha256'][:16]}..., not {wanted[:16]}...). Put that photo there."
                )
            image = decode_photo(file.content, self._layout.side)
        except (UnusablePhoto, FileNotFoundError) as problem:
            raise PipelineError(f"{url}: {problem}. The sample {shown(sample_id)} is made of it.") from None
        if image.shape[:2] != tuple(self._sizes[row]):
            raise PipelineError(f"{url} decodes to {image.shape[:2]} px; the dataset has {tuple(self._sizes[row])} px.")
        return image

    def _read_photo_digests(self, shard: int) -> list[bytes]:
        """Return the SHA-256 of the photo of each row of a shard; empty where the photo failed."""
        used = self._store.commits.read(shard)["originals"]
        return [bytes.fromhex(one["photo"]["sha256"]) if "photo" in one else b"" for one in used]

    @cached_property
    def _sizes(self) -> NDArray[np.int32]:
        return self._store.read("size", slice(None))

    @cached_property
    def _motions(self) -> NDArray[np.float64]:
        return self._store.read("motion", slice(None))

    @cached_property
    def _ids(self) -> NDArray[Any]:
        return self._store.read("id", slice(None))

    @cached_property
    def _urls(self) -> dict[str, str]:
        """Id -> URL of each photo, in a layout that `pipeline run` reads or else in the folder itself."""
        try:
            listing = build_listing(self._photos, allow_missing_masks=True)
        except InputError:
            listing = build_listing(images=self._photos, allow_missing_masks=True)
        return {row.id: row.image for row in listing.rows}
