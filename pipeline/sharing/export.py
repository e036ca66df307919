"""Export of datasets as folder trees that other programs read."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pipeline.command.progress import Progress
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from pipeline.files.storage import Storage
from pipeline.files.whole_files import PARTIAL, write_whole
from pipeline.sharing.clip_trees import CLIP_TREES
from pipeline.sharing.export_tree import ExportedTree, Written
from pipeline.sharing.published_tree import PublishedTree
from pipeline.sharing.shard_trees import SHARD_TREES

MARK = ".fakeflow-export.json"
"""File that says which dataset a tree shows, so that two datasets are never mixed."""
_TREES: Mapping[str, type[ExportedTree]] = {"published": PublishedTree, **SHARD_TREES, **CLIP_TREES}


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


def export_tree(store: DatasetStore, root: Path, progress: Progress, layout: str = "published") -> ExportSummary:
    """Write a finished dataset as a folder tree.

    Existing files are kept. Samples that could not be used are left out, and so are samples whose files the file system
    refuses, for example because a name is too long.

    Args:
        store: a complete dataset.
        root: folder of the tree; new, empty, or begun from this dataset in the same layout.
        progress: watcher that is told the number of written samples.
        layout: `published`, one of `SHARD_TREES`, or one of `CLIP_TREES`, which need a dataset with frames.

    Raises:
        PipelineError: the dataset is unfinished, has no frames for this layout, or needs photos that were not given;
            or the folder holds other files or cannot be written.
    """
    sizes = store.layout
    if missing := sizes.shard_count - len(store.committed()):
        raise PipelineError(
            f"{store.url} is unfinished: {missing} of {sizes.shard_count} shards are missing. Finish it by the "
            "command that began it, then export."
        )
    store.refuse_missing_photos()
    Storage(str(root)).refuse_overlap(store.storage)
    return write_tree(_TREES[layout](store, root), progress)


def write_tree(tree: ExportedTree, progress: Progress) -> ExportSummary:
    """Write what is missing of a tree.

    Raises:
        PipelineError: the folder holds other files, or it cannot be written.
    """
    root, sizes, usable = tree.root, tree.store.layout, tree.store.usable_rows()
    try:
        _begin(tree)
        all_rows = Written()
        pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="export")
        try:
            for some in pool.map(lambda rows: tree.write(rows.tolist()), tree.parts(usable)):
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
    if root.exists() and not root.is_dir():
        raise PipelineError(f"{root} is a file; expected a folder. Choose one that does not exist yet.")
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
