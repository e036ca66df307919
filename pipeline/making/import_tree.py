"""Import of a DUTSv2 tree with ready-made flow pictures: direction and relative length, no depth, no motion."""

from __future__ import annotations

import dataclasses
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flowsim import rgb_to_flow
from pipeline.command.progress import Progress
from pipeline.dataset import schema
from pipeline.dataset.commits import Failure
from pipeline.dataset.schema import Layout
from pipeline.dataset.shard_writer import write_shard
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError, UnusablePhoto
from pipeline.files.pictures import FLOWS
from pipeline.making.config import ImportSettings
from pipeline.making.continuing import create_or_grow
from pipeline.making.plan import ShardTask, make_plan
from pipeline.making.run import RunSummary
from pipeline.photos.listing import Listing, build_listing, find_partners
from pipeline.photos.originals import LocateFiles, Record, locate_photo_and_mask, read_original
from pipeline.photos.rows import Row

SAMPLES_PER_SHARD = 64
FLOW_NOTE = (
    "read back from the colours of JPEG pictures that were normalised one by one: direction and relative length alone; "
    "lengths of different samples cannot be compared"
)


def import_tree(
    root: str, output: str, settings: ImportSettings, progress: Progress, retry_failed: bool = False
) -> RunSummary:
    """Make a dataset of `JPEGImages`, `JPEGFlows` and `Annotations`, or the missing part of it.

    Flow pictures of another size than the photo's are stretched to it, as the original training code does. Black pixels
    are unknown flow.

    Args:
        root: the tree; a folder or URL.
        output: the dataset; a folder or URL.
        settings: sizes and the unit of flow.
        progress: told how many samples are done.
        retry_failed: make shards with failed samples again.

    Raises:
        PipelineError: there is no such tree, photos lack a mask or flow, the output is another dataset, or the disk is
            full.
    """
    listing = build_listing(root)
    if listing.source != "DUTSv2":
        raise PipelineError(
            f"{root} is {listing.source}; expected a tree of JPEGImages, {FLOWS} and Annotations. Photos without flow "
            "are the input of `pipeline run`."
        )
    flow_urls = find_partners(listing.rows, f"{root.rstrip('/')}/{FLOWS}", "flow picture")
    flow_of = {row.id: url for row, url in zip(listing.rows, flow_urls, strict=True)}

    def locate(row: Row) -> dict[str, str]:
        return {**locate_photo_and_mask(row), "flow": flow_of[row.id]}

    progress.announce(f"{len(listing)} photos with flow pictures ({listing.source})")
    store = DatasetStore(output)
    store.refuse_foreign_content()  # before anything is written
    layout = Layout(len(listing), 1, settings.max_side, (), SAMPLES_PER_SHARD, settings.longest_px)
    with store.sole_writer(progress.announce) as lock:
        create_or_grow(
            store, layout, _content(listing, settings), _attributes(listing), listing, progress.announce, locate
        )
        plan = make_plan(store, listing, retry_failed)
        # Decoding is cheap, so a shard with failures is made again as a whole.
        tasks = [dataclasses.replace(task, only=None) for task in plan.tasks]
        to_do, done, failed = sum(task.photos for task in tasks), 0, 0
        progress.update(to_do, done, failed)
        with ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="sample") as pool:
            for task in tasks:
                lock.check()
                failures = _make_shard(store, task, locate, pool)
                done, failed = done + task.photos, failed + len(failures)
                progress.update(to_do, done, failed)
        store.refuse_unfinished()
        return RunSummary(len(listing), done, tuple(store.failures()), listing.notes)


def _content(listing: Listing, settings: ImportSettings) -> dict[str, Any]:
    return {
        "imported": "DUTSv2",
        "listing_hash": listing.listing_hash,
        "photos": len(listing),
        "samples_per_shard": SAMPLES_PER_SHARD,
        **dataclasses.asdict(settings),
    }


def _attributes(listing: Listing) -> dict[str, Any]:
    return {
        "source": f"{listing.source} with {FLOWS}",
        "flow": FLOW_NOTE,
        "licence": "unknown: photos and flow keep the licence of their source",
    }


def _make_shard(store: DatasetStore, task: ShardTask, locate: LocateFiles, pool: ThreadPoolExecutor) -> list[Failure]:
    """Decode, write and commit one shard; return its failures."""
    arrays = schema.empty_shard(store.layout, len(task.rows))
    arrays["id"][:] = [row.id for row in task.rows]
    used: list[Record] = [{} for _ in task.rows]

    def put(position: int) -> Failure | None:
        row = task.rows[position]
        number = store.layout.rows(task.shard).start + position
        try:
            files = {role: read_original(url, role) for role, url in locate(row).items()}
            _put_sample(arrays, position, store.layout, *(files[role].content for role in ("photo", "mask", "flow")))
            used[position] = {role: file.record for role, file in files.items()}
        except UnusablePhoto as problem:
            return Failure(number, row.id, problem.reason, f"{row.image}: {problem}")
        except Exception as problem:  # any error here concerns this sample alone
            reason = "unreadable" if isinstance(problem, OSError) else "internal"
            return Failure(number, row.id, reason, f"{row.image}: {type(problem).__name__}: {problem}")
        return None

    failures = [failure for failure in pool.map(put, range(len(task.rows))) if failure]
    write_shard(store, task.shard, arrays, failures, "none: imported", pool.map, used)
    return failures


def _put_sample(
    arrays: dict[str, NDArray[Any]], position: int, layout: Layout, photo: bytes, mask: bytes, flow: bytes
) -> None:
    from pipeline.photos.decoding import decode_pair, decode_photo

    assert layout.imported_longest_px is not None
    image, mask_pixels = decode_pair(photo, mask, layout.side)
    try:
        colours = decode_photo(flow)
    except UnusablePhoto as error:
        raise UnusablePhoto(f"flow_{error.reason}", f"flow picture: {error.sentence}") from error
    height, width = mask_pixels.shape
    flow_px, valid = _stretched(*rgb_to_flow(colours, layout.imported_longest_px), height, width)
    arrays["flow"][position, 0, :height, :width] = schema.encode_flow(flow_px, valid)
    arrays["flow_rgb"][position, 0, :height, :width] = _resized(colours, height, width)
    arrays["image"][position, :height, :width] = image
    arrays["mask"][position, :height, :width] = mask_pixels
    arrays["size"][position] = height, width
    arrays["status"][position] = schema.USABLE


def _resized(colours: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize a picture."""
    if colours.shape[:2] == (height, width):
        return colours
    shrinks = colours.shape[0] >= height and colours.shape[1] >= width
    resized: Any = cv2.resize(colours, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return resized  # type: ignore[no-any-return]


def _stretched(
    flow_px: NDArray[np.float32], valid: NDArray[np.bool_], height: int, width: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Resize a flow field; its vectors keep their lengths, because their unit is the longest vector of the picture."""
    if flow_px.shape[:2] == (height, width):
        return flow_px, valid
    enlarges = flow_px.shape[0] < height or flow_px.shape[1] < width
    method = cv2.INTER_LINEAR if enlarges else cv2.INTER_AREA
    known: Any = cv2.resize(valid.astype(np.float32), (width, height), interpolation=method)
    resized: Any = cv2.resize(flow_px, (width, height), interpolation=method)
    return resized, known > 0.999  # a mixture with unknown vectors is unknown
