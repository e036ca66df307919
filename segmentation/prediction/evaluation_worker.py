"""The worker that predicts the masks of one video of a benchmark, all of them or none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.engine.placement import Share
from pipeline.errors import PipelineError, UnusablePhoto
from pipeline.files.regular_files import read_file
from pipeline.photos.decoding import decode_photo
from segmentation.data.read_ahead import batches, read_ahead
from segmentation.errors import DatasetError, FlowError, SegmentationError
from segmentation.flow.frame_flows import FrameFlows
from segmentation.network.checkpoint import load_network
from segmentation.network.flow_colors import flow_colors
from segmentation.network.model import TwoStreamNetwork
from segmentation.network.precision import usual_precision
from segmentation.network.segmenter import Pair, Segmenter
from segmentation.prediction.mask_folders import unfinished_folder, write_mask


@dataclass(frozen=True)
class VideoMasksTask:
    """One unit of work: the masks of one video.

    Attributes:
        dataset: name of the dataset.
        video: name of the video.
        images: image files of the frames to predict, by name of the frame.
        flows: flow of the frames.
        folder: folder of all masks of the dataset.
    """

    dataset: str
    video: str
    images: Mapping[str, Path]
    flows: FrameFlows
    folder: Path


@dataclass(frozen=True)
class VideoMasksOutcome:
    """Outcome of one task; `problem` is empty if it succeeded.

    Attributes:
        busy_seconds: time that the network worked since the last outcome.
        idle_seconds: time that the network waited since the last outcome.
    """

    dataset: str
    video: str
    frames: int
    problem: str
    busy_seconds: float
    idle_seconds: float


def start_worker(checkpoint: Path, side_px: int | None, share: Share) -> VideoMasksWorker:
    """Start a worker on its share of the machine."""
    share.set_up_torch()
    return VideoMasksWorker(load_network(checkpoint, side_px=side_px), share)


class VideoMasksWorker:
    """Predicts videos with one network on one device; `make` may be called from several threads."""

    def __init__(self, network: TwoStreamNetwork, share: Share) -> None:
        self._segmenter = Segmenter(network, share.device, usual_precision(share.device))
        flow_colors(np.zeros((1, 1, 2), np.float32))  # compiles the function before the network waits for it
        self._pool = ThreadPoolExecutor(share.cpus + 1, thread_name_prefix="frame")

    def make(self, task: VideoMasksTask) -> VideoMasksOutcome:
        """Predict and write the masks of one video.

        Raises:
            SegmentationError: the masks cannot be written.
        """
        self._segmenter.start_clock()
        try:
            self._write(task)
            problem = ""
        except (DatasetError, FlowError, PipelineError) as error:
            problem = str(error)
        except OSError as error:
            raise SegmentationError(
                f"the masks of {task.video} cannot be written to {task.folder}: {error.strerror or error}; repair this "
                "and run the same command again"
            ) from error
        return VideoMasksOutcome(task.dataset, task.video, len(task.images), problem, *self._segmenter.take_seconds())

    def _write(self, task: VideoMasksTask) -> None:
        unfinished = unfinished_folder(task.folder.parent) / task.dataset / task.video
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        writing: list[Future[None]] = []
        frames = read_ahead(_Reader(task), task.images, self._pool, ahead=2 * self._segmenter.batch)
        for batch in batches(_with_names(task.images, frames), self._segmenter.batch):
            masks = self._segmenter([pair for _, pair in batch])
            writing += [
                self._pool.submit(write_mask, unfinished, name, mask)
                for (name, _), mask in zip(batch, masks, strict=True)
            ]
        for future in writing:
            future.result()
        final = task.folder / task.video
        shutil.rmtree(final, ignore_errors=True)  # incomplete masks, some of which were removed
        final.parent.mkdir(parents=True, exist_ok=True)
        unfinished.replace(final)


@dataclass(frozen=True)
class _Reader:
    """Reads one frame and the colours of its flow."""

    task: VideoMasksTask

    def __call__(self, name: str) -> Pair:
        """Read the frame of this name.

        Raises:
            FlowError, DatasetError: the frame or its flow cannot be read.
        """
        path = self.task.images[name]
        try:
            image = decode_photo(read_file(path))
        except (UnusablePhoto, OSError) as problem:
            raise FlowError(f"frame {path} cannot be read: {problem}") from None
        return image, self.task.flows.read_colors(self.task.video, name)


def _with_names(names: Mapping[str, Path], pairs: Iterator[Pair]) -> Iterator[tuple[str, Pair]]:
    return zip(names, pairs, strict=True)
