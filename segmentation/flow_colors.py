"""Colours of stored flow, frame by frame, as the network sees them: from a Zarr store in pixels, or from pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from flowsim import flow_to_rgb
from pipeline.errors import UnusablePhoto
from pipeline.images import decode_photo
from pipeline.schema import decode_flow
from segmentation.errors import FlowError
from segmentation.flow_store import FlowDataset
from segmentation.flows import Clip
from segmentation.trees import some

Colors = UInt8[np.ndarray, "h w 3"]
ReadColors = Callable[[str], Colors]

_PICTURES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class StoredFlow:
    """Flow of one video in a store that `segmentation flows` writes."""

    url: str
    video: str

    def missing(self, names: Sequence[str]) -> str:
        """Say what keeps these frames from being read; empty if nothing does."""
        store = FlowDataset.open(self.url).video(self.video)
        if not store.exists() or not store.is_complete():
            return f"{self.url} has no complete flow of {self.video}"
        absent = set(names) - {str(name) for name in store.read("frame", slice(None))}
        return f"{self.url} has no flow of {self.video}'s frames {some(sorted(absent))}" if absent else ""

    def open(self) -> ReadColors:
        """Return a function that reads the colours of one frame by its name; any thread may call it."""
        store = FlowDataset.open(self.url).video(self.video)
        rows = {str(name): row for row, name in enumerate(store.read("frame", slice(None)))}
        return lambda name: flow_to_rgb(decode_flow(store.read("flow", rows[name])))


@dataclass(frozen=True)
class FlowPictures:
    """Flow of one video as pictures `<frame>.jpg`; their colours are taken as they are."""

    folder: Path

    @cached_property
    def _paths(self) -> dict[str, Path]:
        files = sorted(self.folder.iterdir()) if self.folder.is_dir() else []
        return {path.stem: path for path in files if path.suffix.lower() in _PICTURES}

    def missing(self, names: Sequence[str]) -> str:
        """Say what keeps these frames from being read; empty if nothing does."""
        if not self._paths:
            return f"{self.folder} holds no flow pictures"
        absent = set(names) - self._paths.keys()
        return f"{self.folder} has no flow picture of frames {some(sorted(absent))}" if absent else ""

    def open(self) -> ReadColors:
        """Return a function that reads the colours of one frame by its name; any thread may call it."""
        paths = self._paths

        def read(name: str) -> Colors:
            try:
                return decode_photo(paths[name].read_bytes())
            except (UnusablePhoto, OSError) as problem:
                raise FlowError(f"the flow picture {paths[name]} cannot be read: {problem}") from None

        return read


FlowColors = StoredFlow | FlowPictures


def flow_of_clips(flows: str, clips: Sequence[Clip]) -> dict[str, FlowColors]:
    """Find where each clip's flow lies.

    Args:
        flows: a store of `segmentation flows`, or the root of a `JPEGFlows` tree.
        clips: of one dataset.

    Raises:
        FlowError: neither is there.
    """
    root = Path(flows)
    if "://" in flows or (root / "zarr.json").exists():
        return {clip.name: StoredFlow(flows, clip.name) for clip in clips}
    if not root.is_dir():
        raise FlowError(
            f"the flows {flows} do not exist; expected a store of `segmentation flows`, or a JPEGFlows tree"
        )
    if not any((root / clip.pictures).is_dir() for clip in clips):
        expected = clips[0].pictures if clips else "JPEGFlows"
        raise FlowError(f"{flows} holds neither a store of `segmentation flows` nor {expected}")
    return {clip.name: FlowPictures(root / clip.pictures) for clip in clips}
