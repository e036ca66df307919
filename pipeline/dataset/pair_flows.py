"""Estimated flow of a dataset of pairs: what an estimator makes of its frames, row by row, in a dataset beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.dataset.array_spec import ArraySpec, InShards
from pipeline.dataset.flow_convention import flow_attributes
from pipeline.dataset.schema import UNKNOWN_FLOW, Layout, array_specs
from pipeline.dataset.sharded_store import ShardedStore


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
