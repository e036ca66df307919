"""Export of datasets as folder trees that other programs read."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.command.progress import Progress
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from pipeline.files.storage import Storage
from pipeline.files.whole_files import PARTIAL, write_whole
from pipeline.sharing.clip_trees import CLIP_TREES
from pipeline.sharing.export_tree import ExportedTree, UnusableNameError
from pipeline.sharing.published_tree import PublishedTree

MARK = ".fakeflow-export.json"
"""File that says which dataset a tree shows, so that two datasets are never mixed."""
_ROWS_PER_READ = 16
_OF_ONE_NAME = {errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.EISDIR, errno.ENOTEMPTY}
"""Errors of the system that concern the name of one file, not the disk."""


@dataclass(frozen=True)
class ExportSummary:
    """The content of an exported tree.

    Attributes:
        samples: number of samples, each a photo under one motion.
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


def export_tree(store: DatasetStore, root: Path, progress: Progress, layout: str = "published") -> ExportSummary:
    """Write a finished dataset as a folder tree.

    Existing files are kept. Samples that could not be used are left out, and so are samples whose files the file system
    refuses, for example because a name is too long.

    Args:
        store: a complete dataset.
        root: folder of the tree; new, empty, or begun from this dataset in the same layout.
        progress: watcher that is told the number of written samples.
        layout: `published`, or one of `CLIP_TREES`, which need a dataset with frames.

    Raises:
        PipelineError: the dataset is unfinished or has no frames for this layout, the folder holds other files, or it
            cannot be written.
    """
    sizes = store.layout
    if missing := sizes.shard_count - len(store.committed()):
        raise PipelineError(
            f"{store.url} is unfinished: {missing} of {sizes.shard_count} shards are missing. Finish it by the "
            "command that began it, then export."
        )
    Storage(str(root)).refuse_overlap(store.storage)
    tree = PublishedTree(store, root) if layout == "published" else CLIP_TREES[layout](store, root)
    usable = store.usable_rows()
    chunks = np.split(usable, np.flatnonzero(np.diff(usable // _ROWS_PER_READ)) + 1)
    try:
        _begin(tree)
        all_rows = _Written()
        pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="export")
        try:
            for some in pool.map(lambda rows: _write_rows(tree, rows.tolist()), chunks):
                all_rows.samples += some.samples
                all_rows.new += some.new
                all_rows.failures |= some.failures
                failed = len(all_rows.failures) * sizes.motions
                progress.update(len(usable) * sizes.motions, all_rows.samples + failed, failed)
        finally:
            pool.shutdown(cancel_futures=True)
        for name, content in tree.lists().items():
            write_whole(root / name, content.encode())
    except OSError as error:
        raise PipelineError(
            f"{root}: cannot write ({error.strerror or error}). Repair this and run the same command again: it goes on."
        ) from error
    failures = tuple((tree.ids[row], why) for row, why in all_rows.failures.items())
    return ExportSummary(all_rows.samples, all_rows.new, sizes.samples - len(usable), failures)


def _begin(tree: ExportedTree) -> None:
    """Make the folders; refuse a folder that does not show this dataset."""
    root, content = tree.root, (json.dumps(tree.description(), indent=1) + "\n").encode()
    mark = root / MARK
    root.mkdir(parents=True, exist_ok=True)
    if mark.exists():
        if mark.read_bytes() != content:
            raise PipelineError(
                f"{root} shows another dataset than {tree.store.url}, or other settings. Choose another folder."
            )
    elif others := sorted(path.name for path in root.iterdir() if not path.name.startswith(".")):
        raise PipelineError(
            f"{root} is a folder with other files in it ({', '.join(others[:3])}). Choose one that does not exist yet."
        )
    write_whole(mark, content)
    for folder in tree.folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
    tops = {root / Path(folder).parts[0] for folder in tree.folders}
    strays = [*root.glob(f".*{PARTIAL}"), *(stray for top in tops for stray in top.rglob(f".*{PARTIAL}"))]
    for stray in strays:  # left by a killed export
        stray.unlink(missing_ok=True)


def _write_rows(tree: ExportedTree, rows: list[int]) -> _Written:
    """Write the files of neighbouring rows that are not there yet."""
    written, motions = _Written(), tree.store.layout.motions
    incomplete = []
    for row in rows:
        with _noted(row, written.failures):
            if not all([path.is_file() for path in tree.files(row)]):
                incomplete.append(row)
    for row, write in tree.writers(incomplete):
        with _noted(row, written.failures):
            write()
        if row in written.failures:  # the folders must hold the same names, because some code pairs files by position
            for path in filter(Path.is_file, tree.files(row)):
                path.unlink()
    written.new = sum(row not in written.failures for row in incomplete) * motions
    written.samples = (len(rows) - len(written.failures)) * motions
    return written


@contextmanager
def _noted(row: int, failures: dict[int, str]) -> Iterator[None]:
    """Record an error that concerns the file names of one row; let pass errors that concern the whole tree."""
    try:
        yield
    except UnusableNameError as problem:
        failures[row] = str(problem)
    except OSError as error:
        if error.errno not in _OF_ONE_NAME:
            raise
        failures[row] = f"{error.strerror}: {error.filename2 or error.filename}"
