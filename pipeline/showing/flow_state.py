"""The state of the flow of videos: which frames of which video are made, as numbers and in words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.dataset.flow_store import FlowDataset, VideoFlowStore
from pipeline.engine.placement import count_of
from pipeline.files.ids import shown

Stores = dict[str, VideoFlowStore]


def stores_of(stored: FlowDataset | VideoFlowStore) -> Stores:
    """Return the flow of every video by its name."""
    if isinstance(stored, FlowDataset):
        return {name: stored.video(name) for name in stored.videos()}
    return {stored.url.rstrip("/").rpartition("/")[2]: stored}


def made_frames(store: VideoFlowStore) -> NDArray[np.int64]:
    """Return the numbers of the frames whose flow is made."""
    rows_of_shards = [np.array(store.layout.rows(shard), np.int64) for shard in sorted(store.committed())]
    return np.concatenate(rows_of_shards) if rows_of_shards else np.empty(0, np.int64)


def status_lines(stored: FlowDataset | VideoFlowStore) -> list[str]:
    """Return the state of each video and the weights of its flow, one line each, after a line about all of them."""
    stores = stores_of(stored)
    lines, missing = [], 0
    for name, store in stores.items():
        layout, made = store.layout, len(made_frames(store))
        missing += layout.frames - made
        weights, settings = store.attributes.get("weights", "unknown weights"), store.attributes.get("settings", {})
        stride = f", stride {settings['stride']}" if "stride" in settings else ""
        size = f"{layout.width} x {layout.height} px"
        lines.append(f"  {shown(name)}: {made} of {count_of(layout.frames, 'frame')}, {size}, {weights}{stride}")
    state = "incomplete: run the same command again to continue" if missing else "complete"
    return [f"{stored.name}: flow of {count_of(len(stores), 'video')}, {state}", *lines]
