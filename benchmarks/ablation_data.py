"""The data of the comparison of training data: what each arm learns from, and the videos to judge by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.command.progress import ProgressLine
from pipeline.dataset.flow_store import FlowDataset
from pipeline.engine.placement import Placement
from pipeline.making.config import RunConfig
from pipeline.making.run import run
from segmentation.data.video_samples import VideoFrames
from segmentation.flow.pair_estimate import Pairs, estimate_pairs
from segmentation.flow.settings import EstimatorSettings
from segmentation.scoring.protocols import protocol_for
from segmentation.training.data_split import ValidationData
from segmentation.videos.datasets import open_dataset

HELD_OUT = (
    "boat",
    "bus",
    "dance-jump",
    "elephant",
    "horsejump-low",
    "lucia",
    "motocross-bumps",
    "paragliding",
    "rollerblade",
    "swing",
)
"""Sequences of DAVIS-2016 train that no network of the comparison learns from."""


@dataclass(frozen=True)
class Photos:
    """A dataset of photos to learn from.

    Attributes:
        motion: preset of the motion.
        motions: number of motions of each photo, one per epoch.
        frames: 1 for photos with their flow, 2 for pairs with the next frame.
        is_estimated: whether the flow of pairs is estimated, by DIS; otherwise it is exact.
    """

    motion: str
    motions: int = 1
    frames: int = 1
    is_estimated: bool = False

    @property
    def name(self) -> str:
        """Name of the dataset's folder."""
        return f"{self.motion}-{self.motions}-{'pairs' if self.frames == 2 else 'photos'}"

    def make(self, work: Path, duts: Path, limit: int | None, max_side: int, device: str) -> None:
        """Make the dataset and its estimated flow, or continue them."""
        config = RunConfig(
            input=str(duts),
            output=str(work / f"{self.name}.zarr"),
            depth_model="tiny-dpt",
            motion=self.motion,
            motions=self.motions,
            frames=self.frames,
            limit=limit,
            max_side=max_side,
            workers=0,
            device=device,
        )
        with ProgressLine(f"photos of {self.name}") as line:
            run(config, line)
        if self.is_estimated:
            with ProgressLine(f"pairs of {self.name}") as line:
                placement = Placement(0, device, None)
                estimate_pairs(
                    Pairs(config.output), str(self.flows(work)), EstimatorSettings(flow="dis"), line, placement
                )

    def flows(self, work: Path) -> Path:
        """Return the place of the estimated flow."""
        return work / f"{self.name}-flows.zarr"

    def source(self, work: Path) -> str:
        """Return the value of `--data`."""
        return f"{work / self.name}.zarr" + (f":{self.flows(work)}" if self.is_estimated else "")


@dataclass(frozen=True)
class Arm:
    """An arm of the comparison: what its networks learn from."""

    name: str
    label: str
    photos: Photos | None
    has_videos: bool = True
    has_flow: bool = True


ARMS = (
    Arm("videos", "videos alone", None),
    Arm("zero", "+ photos, no flow", Photos("davis"), has_flow=False),
    Arm("parallax", "+ parallax", Photos("parallax")),
    Arm("davis", "+ davis, exact", Photos("davis")),
    Arm("davis-estimated", "+ davis, estimated", Photos("davis", frames=2, is_estimated=True)),
    Arm("davis-small-exact", "+ davis-small, exact", Photos("davis-small", frames=2)),
    Arm("davis-small", "+ davis-small, estimated", Photos("davis-small", frames=2, is_estimated=True)),
    Arm("davis-new", "+ davis, estimated, new motions", Photos("davis", motions=4, frames=2, is_estimated=True)),
    Arm("photos", "davis, estimated, no videos", Photos("davis", frames=2, is_estimated=True), has_videos=False),
)


def learnt_sequences(davis: Path) -> tuple[str, ...]:
    """Return the names of the sequences of DAVIS-2016 train that networks learn from."""
    return tuple(sorted(open_dataset("davis16", davis, "train").names - set(HELD_OUT)))


def fingerprint_of(flows: str) -> str:
    """Return a short hash of videos and their flow: of frames, weights and settings."""
    store = FlowDataset.open(flows)
    found = {name: store.video(name).attributes["fingerprint"] for name in store.videos()}
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16]


def judged_by(davis: Path, flows: str) -> dict[str, ValidationData]:
    """Open the held-out train sequences and the val sequences."""
    return {
        "held-out": open_frames(davis, flows, "train", HELD_OUT),
        "val": open_frames(davis, flows, "val"),
    }


def open_frames(davis: Path, flows: str, split: str, names: Sequence[str] | None = None) -> ValidationData:
    """Open sequences of a split with their flow, and the frames that count by the official protocol; None = all."""
    frames = VideoFrames("davis16", davis, flows, split=split, sequences=names)
    protocol = protocol_for("davis16")
    parts = [(name, frames.only([name])) for name in frames.sequences]
    sequences = tuple((name, part, tuple(protocol.counted(range(part.samples)))) for name, part in parts)
    return ValidationData(split, sequences, with_boundaries=True)
