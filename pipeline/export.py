"""The published tree: `JPEGImages`, `JPEGFlows` and `Annotations`, as the original training code reads DUTSv2."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import schema
from pipeline.errors import PipelineError
from pipeline.pictures import JPEG_QUALITY, flow_jpeg, mask_png, photo_jpeg, write_whole
from pipeline.progress import Progress
from pipeline.storage import Storage
from pipeline.store import DatasetStore

PHOTOS, FLOWS, MASKS = "JPEGImages", "JPEGFlows", "Annotations"
MARK = ".fakeflow-export.json"
"""Tells which dataset a tree shows, so that two are never mixed."""
_ROWS_PER_READ = 16


@dataclass(frozen=True)
class ExportSummary:
    """What a complete tree holds: `samples` of each kind of picture; `left_out` photos had failed."""

    samples: int
    written_now: int
    left_out: int


def export_tree(store: DatasetStore, root: Path, progress: Progress) -> ExportSummary:
    """Write a finished dataset as `JPEGImages/<id>.jpg`, `JPEGFlows/<id>.jpg` and `Annotations/<id>.png`.

    The original code pairs the three folders by position, so each has the same names. With several motions a photo is
    there once for each, as `<id>_m0`, `<id>_m1`, ... What is there already is left as it is. Samples that could not be
    used are left out.

    Args:
        store: a dataset of which every shard is there.
        root: folder of the tree; new, empty, or begun from this dataset.
        progress: told how many samples are there.

    Raises:
        PipelineError: an unfinished dataset, a folder with something else in it, an id that is no file's name, or the
            folder cannot be written.
    """
    layout = store.layout
    if missing := layout.shards - len(store.committed()):
        raise PipelineError(
            f"{store.url} is unfinished: {missing} of {layout.shards} shards are missing. Finish it by the command "
            "that began it, then export."
        )
    Storage(str(root)).refuse_overlap(store.storage)
    usable = store.usable_rows()
    ids = [str(name) for name in store.read("id", slice(None))]
    _check_names([ids[row] for row in usable])
    chunks = np.split(usable, np.flatnonzero(np.diff(usable // _ROWS_PER_READ)) + 1)
    try:
        _begin(store, root)
        done = written = 0
        pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="export")
        try:
            for samples, new in pool.map(lambda rows: _write_rows(store, ids, rows, root), chunks):
                done, written = done + samples, written + new
                progress.update(len(usable) * layout.motions, done, 0)
        finally:
            pool.shutdown(cancel_futures=True)
    except OSError as error:
        raise PipelineError(
            f"{root}: cannot write ({error.strerror or error}). Repair this and run the same command again: it goes on."
        ) from error
    return ExportSummary(done, written, layout.samples - len(usable))


def tree_description(store: DatasetStore) -> dict[str, Any]:
    """Return what the pictures of a tree depend on, as plain values."""
    return {
        "fingerprint": store.attributes["fingerprint"],
        "jpeg_quality": JPEG_QUALITY,
        "flow": "colours of Baker et al., the longest vector of each picture at full saturation: direction and "
        "relative length alone",
    }


def _check_names(ids: Sequence[str]) -> None:
    for sample_id in ids:
        if Path(sample_id).name != sample_id or "\0" in sample_id:
            raise PipelineError(
                f"the id {sample_id!r} cannot be a file's name; expected the stem of a photo's name. The dataset was "
                "not made by `pipeline run`, or changed since."
            )


def _begin(store: DatasetStore, root: Path) -> None:
    """Make the folders, or make sure that what is there is this dataset's."""
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
        for stray in (root / folder).glob(".*.partial"):  # left by a killed export
            stray.unlink(missing_ok=True)


def _write_rows(store: DatasetStore, ids: Sequence[str], rows: np.ndarray, root: Path) -> tuple[int, int]:
    """Write neighbouring rows; return how many samples there are and how many are new."""
    motions = store.layout.motions
    files = {row: [_files(root, stem) for stem in _stems(ids[row], motions)] for row in rows.tolist()}
    to_do = [row for row in files if not all(path.exists() for triple in files[row] for path in triple)]
    samples = len(rows) * motions
    if not to_do:
        return samples, 0
    first, last = to_do[0], to_do[-1] + 1
    sizes, photos, masks, flows = (store.read(name, slice(first, last)) for name in ("size", "image", "mask", "flow"))
    for row in to_do:
        place = row - first
        height, width = (int(side) for side in sizes[place])
        photo = photo_jpeg(photos[place, :height, :width])
        mask = mask_png(masks[place, :height, :width])
        for (photo_path, flow_path, mask_path), steps in zip(files[row], flows[place, :, :height, :width], strict=True):
            write_whole(photo_path, photo)
            write_whole(flow_path, flow_jpeg(schema.decode_flow(steps)))
            write_whole(mask_path, mask)
    return samples, len(to_do) * motions


def _stems(sample_id: str, motions: int) -> list[str]:
    return [sample_id] if motions == 1 else [f"{sample_id}_m{k}" for k in range(motions)]


def _files(root: Path, stem: str) -> tuple[Path, Path, Path]:
    return root / PHOTOS / f"{stem}.jpg", root / FLOWS / f"{stem}.jpg", root / MASKS / f"{stem}.png"
