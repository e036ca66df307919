"""Flow as pictures: the `JPEGFlows` tree that the published FakeFlow/DepthFlow/TMO code reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.command.progress import Progress
from pipeline.dataset.flow_store import FlowDataset, VideoFlowStore
from pipeline.dataset.schema import decode_flow
from pipeline.files.pictures import flow_jpeg
from pipeline.files.whole_files import write_whole
from segmentation.errors import FlowError
from segmentation.flow.estimate import Clip

_THREADS = 4


def write_jpeg_tree(clips: Sequence[Clip], output: str, root: Path, progress: Progress) -> None:
    """Write the pictures of complete videos below `root`, in the dataset's pre-processed tree.

    Raises:
        FlowError: they cannot be written.
    """
    dataset = FlowDataset.open(output)
    stores = [(dataset.video(clip.name), root / clip.pictures) for clip in clips]
    total, written = sum(store.layout.frames for store, _ in stores), 0
    for store, folder in stores:
        for _ in write_pictures(store, folder):
            written += 1
            progress.update(total, written, 0)


def write_pictures(store: VideoFlowStore, folder: Path) -> Iterator[Path]:
    """Write each frame's flow as `<folder>/<frame>.jpg`, those that are not there yet.

    Colours are those of Baker et al. with each frame's longest vector at full saturation, as published: the length of
    vectors is lost, and one long vector pales a whole frame.

    Args:
        store: a complete video.
        folder: made if need be.

    Yields:
        Each picture's path when it is there.

    Raises:
        FlowError: the folder cannot be written.
    """
    names = [str(name) for name in store.read("frame", slice(None))]

    def write(row: int) -> Path:
        path = folder / f"{names[row]}.jpg"
        if not path.exists():
            write_whole(path, flow_jpeg(decode_flow(store.read("flow", row))))
        return path

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(_THREADS) as pool:
            yield from pool.map(write, range(len(names)))
    except OSError as error:
        raise FlowError(f"the pictures cannot be written to {folder}: {error.strerror or error}") from error
