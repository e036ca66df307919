"""Estimated flow of a dataset of pairs: what an estimator makes of its frames, row by row, in a dataset beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from shlex import quote
from typing import Any

from pipeline.dataset.array_spec import ArraySpec, InShards
from pipeline.dataset.flow_convention import flow_attributes
from pipeline.dataset.schema import UNKNOWN_FLOW, Layout, array_specs
from pipeline.dataset.sharded_store import ShardedStore
from pipeline.dataset.store import DatasetStore
from pipeline.engine.placement import count_of
from pipeline.errors import PipelineError


@dataclass(frozen=True)
class PairFlowLayout(InShards):
    """Sizes of the flow of a dataset of pairs: those of the dataset itself.

    Attributes:
        samples: number of rows.
        motions: number of flow fields per row.
        side: side of the square canvas, in pixels.
        samples_per_shard: number of rows that one file holds.
    """

    samples: int
    motions: int
    side: int
    samples_per_shard: int

    @classmethod
    def of(cls, layout: Layout) -> PairFlowLayout:
        """Return the sizes of the flow of a dataset."""
        return cls(layout.samples, layout.motions, layout.side, layout.samples_per_shard)


class PairFlowStore(ShardedStore[PairFlowLayout]):
    """The estimated flow from each photo of a dataset to its next frame; unknown outside of the row's window."""

    kind = "estimated flow of a dataset"
    version = 1
    made_by = "segmentation flows --pairs ... --output {url}"

    @staticmethod
    def specs(layout: PairFlowLayout) -> dict[str, ArraySpec]:
        """Return name -> specification of every array."""
        photos = array_specs(Layout(layout.samples, layout.motions, layout.side, (), layout.samples_per_shard))
        flow = photos["flow"]
        meaning = str(flow.attributes["description"]).replace("simulated optical flow", "estimated optical flow")
        attributes = {**flow.attributes, "description": meaning, **flow_attributes("estimated", UNKNOWN_FLOW)}
        return {"flow": ArraySpec(flow.dimensions, flow.shape, flow.dtype, 0, attributes), "id": photos["id"]}

    @staticmethod
    def read_layout(stored: Mapping[str, Any]) -> PairFlowLayout:
        """Return the layout that `create` kept as plain values."""
        return PairFlowLayout(**stored)

    def refuse_other_photos(self, photos: DatasetStore) -> None:
        """Raise unless this is the flow of every row of a dataset.

        Raises:
            PipelineError: it belongs to another dataset, or is unfinished.
        """
        command = f"segmentation flows --pairs {quote(photos.name)} --output"
        fingerprints = {photos.attributes["fingerprint"], *photos.attributes.get("earlier_fingerprints", ())}
        if self.attributes["settings"]["dataset"] not in fingerprints:
            made_of = self.attributes.get("dataset_name", "unnamed")
            raise PipelineError(
                f"{self.url} is the flow of another dataset ({made_of}), not of {photos.name}. Make that by "
                f"`{command} OTHER.zarr`."
            )
        if self.layout.samples != photos.layout.samples:
            raise PipelineError(
                f"{photos.name} has grown since {self.url} was made. Make its flow again by `{command} OTHER.zarr`."
            )
        if missing := self.layout.shard_count - len(self.committed()):
            raise PipelineError(
                f"{self.url} is unfinished: {count_of(missing, 'shard')} missing. Continue it by "
                f"`{command} {quote(self.url)}`."
            )
