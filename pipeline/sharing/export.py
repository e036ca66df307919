"""The published tree: `JPEGImages`, `JPEGFlows` and `Annotations`, as the original training code reads DUTSv2."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.command.progress import Progress
from pipeline.dataset import schema
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from pipeline.files.ids import is_plain
from pipeline.files.pictures import FLOWS, JPEG_QUALITY, MASKS, PHOTOS, flow_jpeg, mask_png, photo_jpeg
from pipeline.files.storage import Storage
from pipeline.files.whole_files import PARTIAL, write_whole

MARK = ".fakeflow-export.json"
"""File that says which dataset a tree shows, so that two datasets are never mixed."""
_ROWS_PER_READ = 16
_OF_ONE_NAME = {errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.EISDIR, errno.ENOTEMPTY}
"""Errors of the system that concern the name of one file, not the disk."""


class _UnusableNameError(ValueError):
    """An id that cannot be the stem of files."""


@dataclass(frozen=True)
class ExportSummary:
    """The content of an exported tree.

    Attributes:
        samples: number of pictures of each kind.
        written_now: number of samples that this command wrote.
        left_out: number of photos that had failed.
        failures: id of each sample that cannot be written, and the reason.
    """

    samples: int
    written_now: int
    left_out: int
    failures: tuple[tuple[str, str], ...] = ()


@dataclass
class _Written:
    """The outcome of some rows; `failures` are by row."""

    samples: int = 0
    new: int = 0
    failures: dict[int, str] = field(default_factory=dict)


def export_tree(store: DatasetStore, root: Path, progress: Progress) -> ExportSummary:
    """Write a finished dataset as `JPEGImages/<id>.jpg`, `JPEGFlows/<id>.jpg` and `Annotations/<id>.png`.

    The original code pairs the files of the three folders by position, so all have the same names. With several motions
    a photo is written once for each, as `<id>_m0`, `<id>_m1`, ... Existing files are kept. Samples that could not be
    used are left out, and so are samples whose files the file system refuses, for example because a name is too long.

    Args:
        store: a complete dataset.
        root: folder of the tree; new, empty, or begun from this dataset.
        progress: watcher that is told the number of written samples.

    Raises:
        PipelineError: the dataset is unfinished, the folder holds other files, or it cannot be written.
    """
    layout = store.layout
    if missing := layout.shard_count - len(store.committed()):
        raise PipelineError(
            f"{store.url} is unfinished: {missing} of {layout.shard_count} shards are missing. Finish it by the "
            "command that began it, then export."
        )
    Storage(str(root)).refuse_overlap(store.storage)
    usable = store.usable_rows()
    ids = [str(name) for name in store.read("id", slice(None))]
    chunks = np.split(usable, np.flatnonzero(np.diff(usable // _ROWS_PER_READ)) + 1)
    try:
        _begin(store, root)
        all_rows = _Written()
        pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="export")
        try:
            for some in pool.map(lambda rows: _write_rows(store, ids, rows, root), chunks):
                all_rows.samples += some.samples
                all_rows.new += some.new
                all_rows.failures |= some.failures
                failed = len(all_rows.failures) * layout.motions
                progress.update(len(usable) * layout.motions, all_rows.samples + failed, failed)
        finally:
            pool.shutdown(cancel_futures=True)
    except OSError as error:
        raise PipelineError(
            f"{root}: cannot write ({error.strerror or error}). Repair this and run the same command again: it goes on."
        ) from error
    failures = tuple((ids[row], why) for row, why in all_rows.failures.items())
    return ExportSummary(all_rows.samples, all_rows.new, layout.samples - len(usable), failures)


def tree_description(store: DatasetStore) -> dict[str, Any]:
    """Return the values on which the pictures of a tree depend."""
    return {
        "fingerprint": store.attributes["fingerprint"],
        "jpeg_quality": JPEG_QUALITY,
        "flow": "colours of Baker et al., the longest vector of each picture at full saturation: direction and "
        "relative length alone",
    }


def _begin(store: DatasetStore, root: Path) -> None:
    """Make the folders; refuse a folder that does not show this dataset."""
    mark, content = root / MARK, (json.dumps(tree_description(store), indent=1) + "\n").encode()
    root.mkdir(parents=True, exist_ok=True)
    if mark.exists():
        if mark.read_bytes() != content:
            raise PipelineError(
                f"{root} shows another dataset than {store.url}, or other settings. Choose another folder."
            )
    elif others := sorted(path.name for path in root.iterdir() if not path.name.startswith(".")):
        raise PipelineError(
            f"{root} is a folder with other files in it ({', '.join(others[:3])}). Choose one that does not exist yet."
        )
    write_whole(mark, content)
    for folder in (PHOTOS, FLOWS, MASKS):
        (root / folder).mkdir(exist_ok=True)
        for stray in (root / folder).glob(f".*{PARTIAL}"):  # left by a killed export
            stray.unlink(missing_ok=True)


def _write_rows(store: DatasetStore, ids: Sequence[str], rows: np.ndarray, root: Path) -> _Written:
    """Write the pictures of neighbouring rows that are not there yet."""
    written = _Written()
    files: dict[int, list[tuple[Path, Path, Path]]] = {}
    for row in rows.tolist():
        with _noted(row, written.failures):
            triples = [_files(root, stem) for stem in _stems(ids[row], store.layout.motions)]
            if not all([path.is_file() for triple in triples for path in triple]):
                files[row] = triples
    if files:
        _write_samples(store, files, written)
    written.new = len(files.keys() - written.failures.keys()) * store.layout.motions
    written.samples = (len(rows) - len(written.failures)) * store.layout.motions
    return written


def _write_samples(store: DatasetStore, files: dict[int, list[tuple[Path, Path, Path]]], written: _Written) -> None:
    """Write the pictures of neighbouring rows.

    Args:
        store: the dataset.
        files: row -> (photo, flow, mask) files of each of its motions.
        written: counts failures.
    """
    first, last = min(files), max(files) + 1
    sizes, photos, masks, flows = (store.read(name, slice(first, last)) for name in ("size", "image", "mask", "flow"))
    for row, triples in files.items():
        place = row - first
        height, width = (int(side) for side in sizes[place])
        photo = photo_jpeg(photos[place, :height, :width])
        mask = mask_png(masks[place, :height, :width])
        with _noted(row, written.failures):
            for (photo_path, flow_path, mask_path), steps in zip(
                triples, flows[place, :, :height, :width], strict=True
            ):
                write_whole(photo_path, photo)
                write_whole(flow_path, flow_jpeg(schema.decode_flow(steps)))
                write_whole(mask_path, mask)
        if row in written.failures:  # the folders must hold the same names, because some code pairs files by position
            for path in (path for triple in triples for path in triple if path.is_file()):
                path.unlink()


@contextmanager
def _noted(row: int, failures: dict[int, str]) -> Iterator[None]:
    """Record an error that concerns the file names of one row; let pass errors that concern the whole tree."""
    try:
        yield
    except _UnusableNameError as problem:
        failures[row] = str(problem)
    except OSError as error:
        if error.errno not in _OF_ONE_NAME:
            raise
        failures[row] = f"{error.strerror}: {error.filename2 or error.filename}"


def _stems(sample_id: str, motions: int) -> list[str]:
    if not is_plain(sample_id) or Path(sample_id).name != sample_id:
        raise _UnusableNameError(
            "the id cannot be a file's name; the dataset was not made by `pipeline run`, or changed since"
        )
    return [sample_id] if motions == 1 else [f"{sample_id}_m{k}" for k in range(motions)]


def _files(root: Path, stem: str) -> tuple[Path, Path, Path]:
    return root / PHOTOS / f"{stem}.jpg", root / FLOWS / f"{stem}.jpg", root / MASKS / f"{stem}.png"
