"""Triplets of image, flow and mask: the interface of every source, and the source for datasets of `pipeline run`."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from shlex import quote
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from numpy.typing import NDArray
from torch import Tensor

from flowsim import MotionPrior, sample_motion, simulate_flow
from pipeline.dataset.pair_flows import PairFlowStore
from pipeline.dataset.sample_reader import SampleReader
from pipeline.dataset.schema import decode_flow, decode_inverse_depth
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from pipeline.files.ids import shown
from segmentation.errors import DatasetError
from segmentation.flow.frame_flows import FlowOrigin
from segmentation.flow.pair_flows import check_pair_flows
from segmentation.network.flow_colors import flow_colors

SHUFFLE_BUFFER = 256
FLOWS = ("stored", "fresh", "zero")
STORED_AS = {"stored": "flow", "fresh": "inverse_depth"}
"""Array of the dataset that each kind of flow is read from."""


class Triplet(NamedTuple):
    """One sample of image, flow and mask, at its own size.

    Attributes:
        id: id of the photo, or video/frame.
        image: RGB.
        flow_px: flow in pixels, u to the right and v down; NaN where unknown. The flow of a video may have another size
            than its image.
        mask: 1 = object.
        flow_rgb: picture of the flow if the source has nothing else; networks see it unchanged. None = the colours are
            computed from `flow_px`.
    """

    id: str
    image: UInt8[Tensor, "h w 3"]
    flow_px: Float32[Tensor, "rows columns 2"]
    mask: UInt8[Tensor, "h w"]
    flow_rgb: UInt8[Tensor, "rows columns 3"] | None = None

    def colors(self) -> UInt8[Tensor, "rows columns 3"]:
        """Return the colours of the flow, the same in training, validation, evaluation and prediction."""
        return flow_colors(self.flow_px) if self.flow_rgb is None else self.flow_rgb


class TripletSource(ABC):
    """Samples that can be read in any order, and the order in which an epoch takes them.

    A `Mixture` shares the samples among ranks and the workers of a DataLoader; files are opened in the process that
    reads.

    Attributes:
        samples: number of samples.
        note: note on the samples for the user; may be empty.
        has_flow_pictures: whether flow is known only as pictures, so that samples have `flow_rgb`.
        fingerprints: fingerprint of each dataset of `pipeline run` that the samples come from, by name of the dataset.
    """

    samples: int
    note: str = ""
    has_flow_pictures: bool = False
    fingerprints: Mapping[str, Any] = MappingProxyType({})

    @abstractmethod
    def order(self, epoch: int) -> Int64[np.ndarray, " n"]:
        """Return the numbers of all samples in the order of an epoch."""

    def draw(self, count: int, random: np.random.Generator) -> Int64[np.ndarray, " n"]:
        """Draw the numbers of `count` samples with replacement, each equally likely."""
        return random.choice(np.sort(self.order(0)), count)

    @abstractmethod
    def read(self, numbers: Sequence[int], epoch: int) -> list[Triplet]:
        """Read samples.

        Args:
            numbers: numbers of the samples, as in `order`.
            epoch: epoch, which decides what differs between epochs, such as the motion.

        Raises:
            DatasetError: a sample cannot be used.
        """


class ShardDataset(TripletSource):
    """The usable samples of a dataset that `pipeline run` wrote.

    Shards are shuffled, and samples mixed within a buffer, so that reading stays within few shards at a time.

    Args:
        url: folder or URL of the dataset.
        seed: seed of the order and of fresh motions.
        flow: `stored`; `fresh` = a new motion per sample and epoch from the prior of the dataset; `zero` = no motion.
        flows: dataset of `segmentation flows --pairs`, whose estimated flow takes the place of the stored one; samples
            are cut to the windows in which it is known.
        buffer: number of samples within which samples are mixed; 1 keeps the order of the rows within a shard.
        allow_unfinished: whether to accept a dataset of which some shards are missing.
        photos: folder or URL of the photos, which a dataset that was published without images needs.

    Raises:
        DatasetError: there is no dataset, it has another schema version, is unfinished or has no usable sample, or
            fresh motions are asked of a dataset without depth.
    """

    def __init__(
        self,
        url: str,
        *,
        seed: int = 0,
        flow: str = "stored",
        flows: str | None = None,
        buffer: int = SHUFFLE_BUFFER,
        allow_unfinished: bool = False,
        photos: str | None = None,
    ) -> None:
        if buffer < 1 or flow not in FLOWS:
            raise ValueError(f"buffer is {buffer}, flow {flow!r}; expected buffer >= 1, flow one of {', '.join(FLOWS)}")
        self.url, self.seed, self.flow, self.flows, self.buffer = url, seed, flow, flows, buffer
        self.photos = photos
        store = _open(url, photos)
        self.flow_origin: FlowOrigin | None = None if flows is None else check_pair_flows(flows, store)
        layout, shard_numbers = store.layout, sorted(store.committed())
        self.fingerprints = {store.name: store.attributes.get("fingerprint")}
        self.has_flow_pictures = flow == "stored" and not layout.is_simulated
        if self.has_flow_pictures and "flow_rgb" not in store.group:
            raise DatasetError(
                f"{url} was imported without the colours of its flow pictures. Import the tree again to another place: "
                "`pipeline import TREE NEW.zarr`."
            )
        if flow != "stored" and flows is not None:
            raise DatasetError(f"{flows} holds estimated flow, so neither fresh motions nor zero flow can be asked for")
        if flow == "fresh" and not layout.is_simulated:
            raise DatasetError(
                f"{url} has imported flow and no depth, so no fresh motion can be drawn for it. Train on its stored "
                "flow, without fresh motions, or make a dataset of the photos by `pipeline run`."
            )
        if not shard_numbers:
            raise DatasetError(
                f"{url} has no finished shard. Run `pipeline run --output {quote(url)}` as before: it goes on from "
                "there."
            )
        if len(shard_numbers) < layout.shard_count and not allow_unfinished:
            raise DatasetError(
                f"{url} is unfinished: {len(shard_numbers)} of {layout.shard_count} shards are there. Run `pipeline "
                f"run --output {quote(url)}` as before, it goes on from there; or allow unfinished datasets."
            )
        usable = store.usable_rows()
        starts = [layout.rows(shard).start for shard in shard_numbers[1:]]
        self._rows = np.split(usable, np.searchsorted(usable, starts))
        self.samples = sum(map(len, self._rows))
        if self.samples == 0:
            raise DatasetError(
                f"{url} has no usable sample: every photo failed. See `pipeline status --failures {quote(url)}`."
            )
        self._opened: _OpenedShards | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the opened files, which every process opens for itself."""
        return {**self.__dict__, "_opened": None}

    def with_stored_flow(self) -> ShardDataset:
        """Return the same samples with their stored flow in place of fresh motions; nothing is opened again."""
        stored = copy.copy(self)
        stored.flow = "stored" if self.flow == "fresh" else self.flow
        return stored

    def order(self, epoch: int) -> Int64[np.ndarray, " n"]:
        """Return the usable rows in the order of an epoch."""
        random = np.random.default_rng([self.seed, epoch])
        rows = np.concatenate([self._rows[place] for place in random.permutation(len(self._rows))])
        return _mix(rows, self.buffer, random)

    def read(self, numbers: Sequence[int], epoch: int) -> list[Triplet]:
        """Read the samples of some rows.

        Args:
            numbers: numbers of the rows.
            epoch: epoch, which decides which stored motion is read, or which fresh motion is drawn.

        Raises:
            DatasetError: a shard is damaged, or a mask has values that are neither background nor object.
        """
        if self._opened is None:
            self._opened = _OpenedShards(self.url, self.flows, self.photos)
        opened = self._opened
        try:
            images, masks = (opened.reader.read(name, numbers) for name in ("image", "mask"))
            motions = (
                opened.flow_reader.read(STORED_AS[self.flow], numbers)
                if self.flow in STORED_AS
                else [None] * len(masks)
            )
            pictures = opened.reader.read("flow_rgb", numbers) if self.has_flow_pictures else [None] * len(masks)
        except PipelineError as error:
            raise DatasetError(str(error)) from error
        samples = []
        for row, image, motion, mask, picture in zip(numbers, images, motions, masks, pictures, strict=True):
            sample_id, part = str(opened.ids[row]), opened.part(row, epoch)
            labels = _labels(mask[part], sample_id, self.url)
            flow_px = self._flow(motion, part, labels, sample_id, epoch)
            pixels = image[part].copy()  # a view would keep the others in memory
            colors = None if picture is None else torch.from_numpy(picture[0][part].copy())
            shown, flow, is_object = (torch.from_numpy(array) for array in (pixels, flow_px, labels))
            samples.append(Triplet(sample_id, shown, flow, is_object, colors))
        return samples

    def _flow(
        self,
        stored: NDArray[Any] | None,
        part: tuple[slice, slice],
        labels: UInt8[np.ndarray, "h w"],
        sample_id: str,
        epoch: int,
    ) -> Float32[np.ndarray, "h w 2"]:
        """Return the flow of a sample, from stored flow (k,H,W,2), inverse depth (H,W) or neither."""
        if stored is None:
            return np.zeros((*labels.shape, 2), np.float32)
        if self.flow == "stored":
            # One motion index serves the whole epoch, since the motions of different photos are independent.
            return decode_flow(stored[epoch % len(stored)][part])
        assert self._opened is not None
        motion = sample_motion(self._opened.prior, self.seed, sample_id, epoch)
        field = simulate_flow(decode_inverse_depth(stored[part]), labels > 0, motion)
        return np.where(field.valid[..., None], field.flow, np.float32(np.nan))


class _OpenedShards:
    """A dataset opened by one process; small arrays are read whole, the others sample by sample."""

    def __init__(self, url: str, flows: str | None, photos: str | None) -> None:
        self.store = _open(url, photos)
        self.reader = SampleReader(self.store)
        self.flow_reader = self.reader if flows is None else SampleReader(PairFlowStore.open(flows))
        self.ids, self.sizes = self.store.read("id", slice(None)), self.store.read("size", slice(None))
        self._windows = None if flows is None else self.store.read("window", slice(None))

    def part(self, row: int, epoch: int) -> tuple[slice, slice]:
        """Return rows and columns of a sample: all of its own, or those in which estimated flow is known."""
        if self._windows is None:
            height, width = self.sizes[row].tolist()
            return slice(height), slice(width)
        top, bottom, left, right = self._windows[row, epoch % self._windows.shape[1]].tolist()
        return slice(top, bottom), slice(left, right)

    @cached_property
    def prior(self) -> MotionPrior:
        """Motion model that new motions are drawn from."""
        return MotionPrior.from_dict(self.store.attributes["settings"]["motion_prior"])


def _open(url: str, photos: str | None) -> DatasetStore:
    try:
        store = DatasetStore.open(url, photos)
        store.refuse_missing_photos()
        return store
    except PipelineError as error:
        raise DatasetError(f"{url} cannot be trained on. {error}") from error


def _labels(mask: UInt8[np.ndarray, "h w"], sample_id: str, url: str) -> UInt8[np.ndarray, "h w"]:
    """Turn a stored mask of 0 and 255 into labels 0 and 1."""
    if (mask + np.uint8(1) > 1).any():  # 255 becomes 0
        odd = sorted({int(value) for value in np.unique(mask)} - {0, 255})[:3]
        raise DatasetError(f"{url}: the mask of sample {shown(sample_id)} has values {odd}, expected 0 and 255 alone.")
    labels: UInt8[np.ndarray, "h w"] = mask & 1
    return labels


def _mix(rows: Int64[np.ndarray, " n"], buffer: int, random: np.random.Generator) -> Int64[np.ndarray, " n"]:
    """Shuffle rows with a buffer; each next row is drawn from up to `buffer` waiting rows."""
    waiting = rows[:buffer].copy()
    rest = rows[buffer:]
    places = random.integers(len(waiting), size=len(rest))
    mixed = np.empty_like(rows)
    for turn, (place, row) in enumerate(zip(places.tolist(), rest.tolist(), strict=True)):
        mixed[turn] = waiting[place]
        waiting[place] = row
    random.shuffle(waiting)
    mixed[len(rest) :] = waiting
    return mixed
