"""Flow of videos on disk: one Zarr group with a group for each video, which is a dataset of its own.

`flow` of a video has its frames' size; a chunk is one frame, a shard one task. The store's guarantees hold for each
video: whole shards, commit record last, resume, refusal of other settings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.dataset.array_spec import ArraySpec, InShards
from pipeline.dataset.flow_convention import COMPONENT_DIMENSION, flow_attributes
from pipeline.dataset.inventory import our_attributes
from pipeline.dataset.keys import ROOT_METADATA
from pipeline.dataset.schema import FLOW_STEPS_PER_PIXEL, LARGEST_FLOW_PX, UNKNOWN_FLOW
from pipeline.dataset.sharded_store import ShardedStore
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from pipeline.files.ids import is_plain
from pipeline.files.storage import Storage

LAST_FRAMES = "minus the flow to the frame `stride` before"
_FRAMES_PER_SHARD = 16
_SHARD_BYTES = 64 << 20


class FlowStoreError(PipelineError):
    """The name of a video cannot be a folder's."""


@dataclass(frozen=True)
class FlowLayout(InShards):
    """Sizes of one video's flow."""

    frames: int
    height: int
    width: int

    @property
    def samples(self) -> int:
        """Number of rows: one per frame."""
        return self.frames

    @property
    def samples_per_shard(self) -> int:
        """Number of frames of a shard: small, so that a stopped run loses little and a shard fits in memory."""
        return max(1, min(_FRAMES_PER_SHARD, _SHARD_BYTES // (self.height * self.width * 4)))


class VideoFlowStore(ShardedStore[FlowLayout]):
    """The flow of one video."""

    kind = "the flow of a video"
    version = 1
    made_by = "segmentation flows ..."

    @staticmethod
    def specs(layout: FlowLayout) -> dict[str, ArraySpec]:
        """Return name -> specification of every array."""
        flow = {
            "description": "optical flow by RAFT: [..., 0] = u to the right, [..., 1] = v down; flow at p points to "
            "where p goes in the frame `stride` later",
            "last_frames": LAST_FRAMES,
            "units": "pixel",
            "range": [-LARGEST_FLOW_PX, LARGEST_FLOW_PX],
            "scale_factor": 1 / FLOW_STEPS_PER_PIXEL,
            "add_offset": 0.0,
            "_FillValue": UNKNOWN_FLOW,
            **flow_attributes("estimated", UNKNOWN_FLOW, time_step=None),  # the group's settings hold the stride
        }
        shape = (layout.frames, layout.height, layout.width, 2)
        return {
            "flow": ArraySpec(("frame", "row", "column", COMPONENT_DIMENSION), shape, "int16", 0, flow),
            "frame": ArraySpec(
                ("frame",),
                (layout.frames,),
                "string",
                "",
                {"description": "name of the frame; the file's stem, or the number in a video file"},
                has_sample_chunks=False,
            ),
        }

    @staticmethod
    def read_layout(stored: Mapping[str, Any]) -> FlowLayout:
        """Return the layout that `create` kept as plain values."""
        return FlowLayout(**stored)

    def is_complete(self) -> bool:
        """Return whether all shards are committed."""
        return len(self.committed()) == self.layout.shard_count


@dataclass(frozen=True)
class _NoArrays(InShards):
    """The layout of a group that only holds others."""

    samples_per_shard: int = 1

    @property
    def samples(self) -> int:
        """Zero: there are no arrays."""
        return 0


class FlowDataset(ShardedStore[_NoArrays]):
    """Flows of many videos."""

    kind = "flows of videos"
    version = 1
    made_by = "segmentation flows ... --output {url}"

    @staticmethod
    def specs(layout: _NoArrays) -> dict[str, ArraySpec]:
        """Return an empty dictionary, because the arrays belong to the videos."""
        return {}

    @staticmethod
    def read_layout(stored: Mapping[str, Any]) -> _NoArrays:
        """Return the layout of a group without arrays."""
        return _NoArrays()

    def begin(self, attributes: Mapping[str, Any]) -> None:
        """Create the group unless it exists."""
        if not self.exists():
            self.create(_NoArrays(), attributes)

    def video(self, name: str) -> VideoFlowStore:
        """Return the store of one video's flow, which may not exist yet."""
        if not (re.fullmatch(r"[^/.][^/]*(/[^/.][^/]*)*", name) and is_plain(name)):
            raise FlowStoreError(f"the video name {name!r} cannot be a folder's; rename it")
        return VideoFlowStore(f"{self.url.rstrip('/')}/{name}")

    def videos(self) -> list[str]:
        """Return the names of the videos that were begun, sorted."""
        last = f"/flow/{ROOT_METADATA}"
        return sorted(key.removesuffix(last) for key in self.storage.sizes() if key.endswith(last))

    def list_for_zarr(self) -> None:
        """List all videos in the root's metadata, in which Zarr looks for groups."""
        from pipeline.dataset.metadata import with_groups

        content = self.storage.read(ROOT_METADATA)
        groups = {name: self.storage.read(f"{name}/{ROOT_METADATA}") for name in self.videos()}
        if (listed := with_groups(content, groups)) != content:
            self.storage.write(ROOT_METADATA, listed)


def open_any(url: str, photos: str | None = None) -> DatasetStore | FlowDataset | VideoFlowStore:
    """Open a dataset of photos, the flows of videos, or the flow of one video; `photos` as in `DatasetStore.open`.

    Raises:
        PipelineError: there is no dataset.
    """
    storage = Storage(url)
    metadata = storage.read_if_there(ROOT_METADATA) if storage.is_there() else None
    attributes = our_attributes(metadata, storage) if metadata is not None else None
    for store in (FlowDataset, VideoFlowStore):
        if attributes is not None and attributes.get("kind") == store.kind:
            return store.open(url)
    return DatasetStore.open(url, photos)
