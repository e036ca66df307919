"""Benchmarks whose folders were opened: their videos with ground truth, their protocol, and the flow that is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from segmentation.data.source_names import Benchmark
from segmentation.errors import DatasetError, SegmentationError
from segmentation.flow.clips import Clip, clips_in
from segmentation.flow.frame_flows import FrameFlows, open_flows
from segmentation.scoring.protocols import Protocol, protocol_for
from segmentation.videos.datasets import OpenedDataset, Sequences, Video, open_dataset


@dataclass(frozen=True)
class OpenedBenchmark:
    """A benchmark whose folder was opened.

    Attributes:
        benchmark: the benchmark as the user named it.
        dataset: its videos.
        protocol: protocol that it is scored by.
        clips: videos of which all frames exist.
        problems: why each of the other videos cannot be used, by name of the video.
    """

    benchmark: Benchmark
    dataset: OpenedDataset
    protocol: Protocol
    clips: tuple[Clip, ...]
    problems: Mapping[str, str]

    @property
    def name(self) -> str:
        """Name of the dataset."""
        return self.benchmark.name

    @property
    def frame_names(self) -> dict[str, list[str]]:
        """Names of the frames to predict, those with ground truth, by name of the video."""
        usable = {clip.name for clip in self.clips}
        videos = (video for video in self.dataset.videos if video.name in usable)
        return {video.name: [frame.name for frame in video.annotated] for video in videos}

    @property
    def scored_clips(self) -> list[Clip]:
        """Videos that have ground truth, with flow wanted of the frames to predict."""
        names = self.frame_names
        return [clip.only(set(names[clip.name])) for clip in self.clips if names.get(clip.name)]

    @property
    def scored_videos(self) -> list[Video]:
        """Videos that have ground truth, with their frames and masks."""
        names = self.frame_names
        return [video for video in self.dataset.videos if names.get(video.name)]

    def open_given_flow(self) -> FrameFlows:
        """Open the flow that the benchmark names, and check that it holds every frame.

        Raises:
            SegmentationError: the flow of a video or a frame is missing.
        """
        flows = open_flows(str(self.benchmark.flows), self.dataset)
        lacking = []
        for video in self.scored_videos:
            try:
                flows.check(video)
            except DatasetError as error:
                lacking.append(str(error))
        if lacking:
            raise DatasetError(
                f"the flow of {len(lacking)} of {len(self.scored_videos)} videos cannot be used: {lacking[0]}; or "
                f"leave :{self.benchmark.flows} out to have it estimated"
            )
        return flows


def open_benchmarks(benchmarks: Sequence[Benchmark], sequences: Sequences) -> list[OpenedBenchmark]:
    """Open the folders of benchmarks.

    Args:
        benchmarks: benchmarks, each dataset at most once.
        sequences: the videos to choose, of all benchmarks together.

    Raises:
        SegmentationError: a folder is not its dataset, a dataset is named twice, or no video is chosen or usable.
    """
    datasets = [open_dataset(benchmark.name, benchmark.root) for benchmark in benchmarks]
    sequences.check(
        frozenset().union(*(dataset.names for dataset in datasets)),
        " and ".join(str(benchmark.root) for benchmark in benchmarks),
    )
    opened = [
        _open(benchmark, dataset.only(sequences)) for benchmark, dataset in zip(benchmarks, datasets, strict=True)
    ]
    if len({each.name for each in opened}) < len(opened):
        raise SegmentationError("a dataset is named twice by --dataset; expected each once")
    return opened


def _open(benchmark: Benchmark, dataset: OpenedDataset) -> OpenedBenchmark:
    protocol = protocol_for(benchmark.name)
    if not dataset.names:
        raise DatasetError(f"--sequences chooses nothing in {benchmark.root}; leave --dataset {benchmark.name}=... out")
    dataset.require_videos()
    clips, problems = clips_in(dataset)
    if not any(video.annotated for video in dataset.videos):
        raise DatasetError(f"{dataset.row.title} in {benchmark.root} has no masks for its split {dataset.split}")
    return OpenedBenchmark(benchmark, dataset, protocol, tuple(clips), problems)
