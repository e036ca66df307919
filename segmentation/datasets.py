"""Triplets of image, flow and mask from the datasets that `pipeline run` writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from flowsim import MotionPrior, sample_motion, simulate_flow
from pipeline.errors import PipelineError
from pipeline.schema import USABLE, decode_flow, decode_inverse_depth
from pipeline.store import DatasetStore
from segmentation.errors import DatasetError

ROWS_PER_READ = 16
"""Samples are read so many at a time: enough for the store to decode several at once, few enough to stay small."""
SHUFFLE_BUFFER = 256


class Triplet(NamedTuple):
    """One sample, at its own size.

    Attributes:
        id: of the photo.
        image: RGB.
        flow_px: flow in pixels, u to the right and v down; NaN where unknown.
        mask: 1 = object.
    """

    id: str
    image: UInt8[Tensor, "h w 3"]
    flow_px: Float32[Tensor, "h w 2"]
    mask: UInt8[Tensor, "h w"]


class ShardDataset(IterableDataset[Triplet]):
    """Iterate over the usable samples of a dataset, each once per epoch, in an order drawn from `seed` and the epoch.

    Shards are shuffled, read from beginning to end, and mixed within a buffer. Ranks and a DataLoader's workers share
    the shards among them; the store is opened in the process that reads. Use the DataLoader's
    `multiprocessing_context="spawn"` and `collate_fn=list`: samples have different sizes.

    Args:
        url: of the dataset.
        seed: of the order, and of fresh motions.
        fresh_motion: draw a new motion per sample and epoch from the dataset's own prior, instead of the stored flow.
        buffer: number of samples to mix within; 1 keeps the order of the rows within a shard.
        rank: of this process among `ranks` that train together.
        ranks: number of processes that train together.
        allow_unfinished: accept a dataset of which some shards are not there yet.

    Raises:
        DatasetError: no dataset, another schema version, unfinished, no usable sample, or fresh motions of a dataset
            without depth.
    """

    def __init__(
        self,
        url: str,
        *,
        seed: int = 0,
        fresh_motion: bool = False,
        buffer: int = SHUFFLE_BUFFER,
        rank: int = 0,
        ranks: int = 1,
        allow_unfinished: bool = False,
    ) -> None:
        if not 0 <= rank < ranks or buffer < 1:
            raise ValueError(f"rank is {rank} of {ranks} and buffer {buffer}; expected 0 <= rank < ranks, buffer >= 1")
        self.url, self.seed, self.fresh_motion, self.buffer = url, seed, fresh_motion, buffer
        self.rank, self.ranks = rank, ranks
        store = _open(url)
        layout, self.shards = store.layout, sorted(store.committed())
        if fresh_motion and not layout.is_simulated:
            raise DatasetError(
                f"{url} has imported flow and no depth, so no fresh motion can be drawn for it. Train on its stored "
                "flow, without fresh motions, or make a dataset of the photos by `pipeline run`."
            )
        if not self.shards:
            raise DatasetError(
                f"{url} has no finished shard. Run `pipeline run --output {url}` as before: it goes on from there."
            )
        if len(self.shards) < layout.shards and not allow_unfinished:
            raise DatasetError(
                f"{url} is unfinished: {len(self.shards)} of {layout.shards} shards are there. Run `pipeline run "
                f"--output {url}` as before, it goes on from there; or allow unfinished datasets."
            )
        status = store.read("status", slice(None))
        self.samples = sum(int((status[_slice(layout.rows(shard))] == USABLE).sum()) for shard in self.shards)
        """Usable samples of all ranks together."""
        if self.samples == 0:
            raise DatasetError(
                f"{url} has no usable sample: every photo failed. See `pipeline status --failures {url}`."
            )
        self._epoch = torch.zeros((), dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]  # so that persistent workers see it change

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next iteration is: it decides the order and the motions."""
        self._epoch.fill_(epoch)

    def __iter__(self) -> Iterator[Triplet]:
        """Yield this rank's and this worker's part of the epoch.

        Raises:
            DatasetError: a stored mask has values that are neither background nor object.
        """
        worker = get_worker_info()
        workers, index = (worker.num_workers, worker.id) if worker else (1, 0)
        part = self.rank * workers + index
        epoch = int(self._epoch)
        order = np.random.default_rng([self.seed, epoch]).permutation(self.shards)
        mine = [int(shard) for shard in order[part :: self.ranks * workers]]
        mixing = np.random.default_rng([self.seed, epoch, part])
        return _mix(self._read(mine, epoch), self.buffer, mixing)

    def _read(self, shards: list[int], epoch: int) -> Iterator[Triplet]:
        """Read shards one after the other, rows in their order."""
        store = _open(self.url)
        layout = store.layout
        prior = MotionPrior.from_dict(store.attributes["settings"]["motion_prior"]) if self.fresh_motion else None
        for shard in shards:
            rows = layout.rows(shard)
            small = {name: store.read(name, _slice(rows)) for name in ("id", "size", "status")}
            for first in range(rows.start, rows.stop, ROWS_PER_READ):
                some = range(first, min(first + ROWS_PER_READ, rows.stop))
                usable = [row for row in some if small["status"][row - rows.start] == USABLE]
                if not usable:
                    continue
                images, masks = (store.read(name, _slice(some)) for name in ("image", "mask"))
                # One motion index for the whole epoch: motions of different photos are independent anyway.
                motions = self._motions(store, some, epoch % layout.motions)
                for row in usable:
                    place = row - some.start
                    height, width = (int(side) for side in small["size"][row - rows.start])
                    inside = (slice(0, height), slice(0, width))
                    sample_id = str(small["id"][row - rows.start])
                    mask = _labels(masks[place][inside], sample_id, self.url)
                    if prior is None:
                        flow_px = decode_flow(motions[place][inside])
                    else:
                        inverse_depth = decode_inverse_depth(motions[place][inside])
                        motion = sample_motion(prior, self.seed, sample_id, epoch)
                        field = simulate_flow(inverse_depth, mask > 0, motion)
                        flow_px = np.where(field.valid[..., None], field.flow, np.float32(np.nan))
                    image = np.ascontiguousarray(images[place][inside])
                    yield Triplet(sample_id, *(torch.from_numpy(array) for array in (image, flow_px, mask)))

    def _motions(self, store: DatasetStore, rows: range, index: int) -> Any:
        """Return what the flow comes from: stored inverse depth (n,H,W) for fresh motions, else flow (n,H,W,2)."""
        if self.fresh_motion:
            return store.read("inverse_depth", _slice(rows))
        stored: Any = store.group["flow"]
        return stored[rows.start : rows.stop, index]


def _open(url: str) -> DatasetStore:
    try:
        return DatasetStore.open(url)
    except PipelineError as error:
        raise DatasetError(f"{url} cannot be trained on. {error}") from error


def _slice(rows: range) -> slice:
    return slice(rows.start, rows.stop)


def _labels(mask: np.ndarray, sample_id: str, url: str) -> np.ndarray:
    """Turn a stored mask of 0 and 255 into labels 0 and 1."""
    is_object = mask == 255
    if not (is_object | (mask == 0)).all():
        odd = sorted({int(value) for value in mask[~is_object & (mask != 0)]})[:3]
        raise DatasetError(f"{url}: the mask of sample {sample_id} has values {odd}, expected 0 and 255 alone.")
    labels: np.ndarray = is_object.astype(np.uint8)
    return labels


def _mix(samples: Iterator[Triplet], buffer: int, random: np.random.Generator) -> Iterator[Triplet]:
    """Yield the samples in another order: each time one of up to `buffer` that wait."""
    waiting: list[Triplet] = []
    for sample in samples:
        waiting.append(sample)
        if len(waiting) == buffer:
            yield _take(waiting, random)
    while waiting:
        yield _take(waiting, random)


def _take(waiting: list[Triplet], random: np.random.Generator) -> Triplet:
    place = int(random.integers(len(waiting)))
    waiting[place], waiting[-1] = waiting[-1], waiting[place]
    return waiting.pop()
