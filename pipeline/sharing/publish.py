"""Publishing of a dataset: a verified copy with manifest and card, visible to readers only when it is complete.

The `zarr.json` of the root is the mark that makes the copy visible. It is written last, because no Zarr reader opens a
dataset without it. Those of the arrays are written just before it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from shlex import quote

from pipeline.checking.file_check import NO_PART
from pipeline.checking.verify import verify
from pipeline.command.progress import Progress
from pipeline.dataset.commits import COMMITS, COMMITS_NOTE, shard_of_record
from pipeline.dataset.keys import ROOT_METADATA
from pipeline.dataset.published_files import (
    CARD,
    CROISSANT,
    MANIFEST,
    PREVIEW,
    PUBLISHED_EXTRAS,
    PUBLISHED_EXTRAS_WITHOUT_IMAGES,
    VIEWER_SAMPLES,
    manifest_json,
)
from pipeline.dataset.schema import Layout
from pipeline.dataset.sharded_store import LOCK
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from pipeline.files.locks import sole_writer
from pipeline.files.storage import Storage
from pipeline.files.whole_files import PARTIAL
from pipeline.sharing import without_images
from pipeline.sharing.card import dataset_card
from pipeline.sharing.copier import COPIES, Copier
from pipeline.sharing.croissant import croissant_json, published_on
from pipeline.sharing.files_to_publish import PublishedFile, computed, made, root_last, sha256_of, stored
from pipeline.sharing.larger_shards import LargerShards, Limits, shards_to_join
from pipeline.sharing.viewer_samples import viewer_samples
from pipeline.showing.preview import contact_sheet

PREVIEW_ROWS = 6
HUB = Limits()


@dataclass(frozen=True)
class Published:
    """A published dataset: number of files, bytes in all, and number of files that this command copied."""

    files: int
    size: int
    copied: int


def publish(
    source: str, destination: str, progress: Progress, *, with_images: bool = True, limits: Limits = HUB
) -> Published:
    """Copy a dataset of photos to a place where others can read it; the same command again continues.

    Args:
        source: a complete dataset.
        destination: folder or URL.
        progress: watcher that is told the number of copied files.
        with_images: whether to copy all arrays that are there; without images, those that can be made again are left
            out.
        limits: what the destination can hold; a dataset of more shards is published in fewer, larger ones, unless its
            images are left out.

    Raises:
        PipelineError: the dataset is incomplete or damaged, its images cannot be left out, or the destination holds
            something else or fails.
    """
    store = DatasetStore.open(source)
    target = Storage(destination)
    target.refuse_overlap(store.storage)
    if target.is_file():
        raise PipelineError(f"{target.name} is a file. Choose a place that does not exist yet.")
    shard_files, metadata = _whole_files(store, progress)
    layout = store.layout
    if not with_images:
        without_images.refuse_unfit(store, progress)
        layout = store.layout_without_images
        shard_files, metadata = _files_without_images(store, shard_files)
    elif not layout.left_out and (joined := shards_to_join(store, limits)) > 1:
        progress.announce(f"joining {joined} shards into one: {layout.shard_count} are more than hubs hold well")
        shard_files, metadata = _in_larger_shards(LargerShards(store, joined), shard_files)
    extras = set(PUBLISHED_EXTRAS_WITHOUT_IMAGES if layout.left_out else PUBLISHED_EXTRAS)
    wanted = {file.key for file in [*shard_files, *metadata]} | {MANIFEST} | extras
    _refuse_foreign(target, target.sizes(), wanted, metadata[-1])  # before the lock is added to them
    with sole_writer(target, LOCK, progress.announce) as lock:
        there = target.sizes()
        _refuse_foreign(target, there, wanted, metadata[-1])
        copier = Copier(target, there, metadata[-1], progress, lock, to_do=len(wanted))
        for stray in _strays(there, wanted):
            target.delete(stray)
        progress.announce(f"copying {len(wanted)} files to {target.name}")
        copier.copy(shard_files)
        copier.copy(_extras(store, layout, metadata[-1], published_on(target)))
        files = {key: {"size": size, "sha256": sha256} for key, (size, sha256) in copier.done.items()}
        files |= {file.key: {"size": len(file.content()), "sha256": file.sha256} for file in metadata}
        manifest = manifest_json(store.attributes["fingerprint"], dict(sorted(files.items())))
        copier.copy([made(MANIFEST, manifest)])
        copier.copy(metadata[:-1])
        copier.copy(metadata[-1:])
        copier.finish()
    return Published(len(copier.done), sum(size for size, _ in copier.done.values()), copier.copied)


def _strays(there: Iterable[str], wanted: set[str]) -> set[str]:
    """Return the unfinished files that a stopped copy left in the folders of the dataset."""
    folders = {PurePosixPath(key).parent for key in wanted}
    unfinished = (PurePosixPath(key) for key in there if key.endswith(PARTIAL))
    return {str(key) for key in unfinished if key.name.startswith(".") and key.parent in folders}


def _refuse_foreign(target: Storage, there: Mapping[str, int], wanted: set[str], mark: PublishedFile) -> None:
    """Refuse a place that holds another dataset or other files."""
    if mark.key in there and sha256_of(target.read_if_there(mark.key) or b"") != mark.sha256:
        raise PipelineError(f"{target.name} holds another dataset. Choose another place, or remove that one first.")
    if foreign := sorted(there.keys() - wanted - _strays(there, wanted) - NO_PART):
        raise PipelineError(
            f"{target.name} holds other files ({', '.join(foreign[:3])}...). Choose a place that does not exist yet, "
            "or one where publishing this dataset was stopped."
        )


def _whole_files(store: DatasetStore, progress: Progress) -> tuple[list[PublishedFile], list[PublishedFile]]:
    """Verify the dataset; return the files of its shards, and its metadata with those of the root last.

    Raises:
        PipelineError: the dataset is damaged or incomplete.
    """
    progress.announce(f"verifying {store.name}")
    found = verify(store.url, progress)
    if found.findings:
        first, others = found.findings[0], len(found.findings) - 1
        more = f", and {others} more" if others else ""
        name = quote(store.name)
        raise PipelineError(
            f"{store.name} is damaged ({first.key}: {first.problem}{more}). Look at it with `pipeline verify {name}`, "
            f"mend it with `pipeline verify --repair {name}` and the command that made it, then publish with the same "
            "command."
        )
    if found.missing_shard_count:
        raise PipelineError(
            f"{store.name} is incomplete: {found.missing_shard_count} of {found.shard_count} shards are not made. "
            "Run the command that made it again, then publish."
        )
    files = [stored(store, key, sha256) for key, sha256 in found.files.items()]
    shard_files = [file for file in files if not file.key.endswith(ROOT_METADATA)]
    return shard_files, [file for file in files if file.key.endswith(ROOT_METADATA)]


def _in_larger_shards(
    larger: LargerShards, files: Sequence[PublishedFile]
) -> tuple[list[PublishedFile], list[PublishedFile]]:
    """Return the files of a copy in larger shards, and its metadata with those of the root last."""

    def shard_of_copy(shard: int) -> list[PublishedFile]:
        objects = [computed(key, content) for key, content in larger.objects(shard).items()]
        return [*objects, made(*larger.record(shard, {file.key: file.sha256 for file in objects}))]

    with ThreadPoolExecutor(COPIES, thread_name_prefix="join") as pool:
        shards = list(pool.map(shard_of_copy, range(larger.layout.shard_count)))
    contents = larger.metadata()
    metadata = root_last(contents)
    return [
        *(file for shard in shards for file in shard),
        *(file for file in files if file.key == COMMITS_NOTE),
    ], metadata


def _files_without_images(
    store: DatasetStore, shard_files: Sequence[PublishedFile]
) -> tuple[list[PublishedFile], list[PublishedFile]]:
    """Return the files of a copy without images, and its metadata with those of the root last."""
    contents = store.metadata_with(store.layout_without_images)
    files = []
    for file in shard_files:
        folder, _, name = file.key.rpartition("/")
        shard = shard_of_record(name) if folder == COMMITS else None
        if shard is not None:
            files.append(computed(file.key, partial(without_images.record_without_images, store, shard, contents)))
        elif without_images.is_kept(file.key, contents):
            files.append(file)
    return files, root_last(contents)


def _extras(store: DatasetStore, layout: Layout, root: PublishedFile, day: str) -> list[PublishedFile]:
    """Return the files for people and hubs: the card, its picture, samples for the viewer, and Croissant metadata.

    A copy without images, as `layout` says it, has no picture, and its samples show no photo.
    """
    with_images = not layout.left_out
    samples = viewer_samples(store, with_images=with_images)
    described = {ROOT_METADATA: (len(root.content()), root.sha256), VIEWER_SAMPLES: (len(samples), sha256_of(samples))}
    extras = [
        made(VIEWER_SAMPLES, samples),
        made(CROISSANT, croissant_json(store, described, day, with_images=with_images)),
        made(CARD, dataset_card(store, layout).encode()),
    ]
    if with_images:
        picture = io.BytesIO()
        contact_sheet(store, PREVIEW_ROWS).save(picture, "PNG")
        extras.insert(0, made(PREVIEW, picture.getvalue()))
    return extras
