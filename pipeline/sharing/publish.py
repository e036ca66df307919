"""Publishing of a dataset: a verified copy with manifest and card, visible to readers only when it is complete.

The `zarr.json` of the root is the mark that makes the copy visible. It is written last, because no Zarr reader opens a
dataset without it. Those of the arrays are written just before it.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import PurePosixPath
from shlex import quote
from typing import Any, NamedTuple

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
from pipeline.dataset.sharded_store import LOCK
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from pipeline.files.locks import WriterLock, sole_writer
from pipeline.files.storage import Storage
from pipeline.files.whole_files import PARTIAL
from pipeline.sharing import without_images
from pipeline.sharing.card import dataset_card
from pipeline.sharing.croissant import croissant_json, published_on
from pipeline.sharing.files_to_publish import PublishedFile, computed, made, root_last, sha256_of, stored
from pipeline.sharing.larger_shards import LargerShards, Limits, shards_to_join
from pipeline.sharing.viewer_samples import viewer_samples
from pipeline.showing.preview import contact_sheet

COPIES = 4
"""Number of files that are copied, and held in memory, at the same time."""
PREVIEW_ROWS = 6
HUB = Limits()


@dataclass(frozen=True)
class Published:
    """A published dataset: number of files, bytes in all, and number of files that this command copied."""

    files: int
    size: int
    copied: int


class _Copied(NamedTuple):
    """A file at the destination: its key, its size, its checksum, and whether this command copied it."""

    key: str
    size: int
    sha256: str
    is_new: bool


def publish(
    source: str, destination: str, progress: Progress, *, with_images: bool = True, limits: Limits = HUB
) -> Published:
    """Copy a dataset of photos to a place where others can read it; the same command again continues.

    Args:
        source: a complete dataset.
        destination: folder or URL.
        progress: watcher that is told the number of copied files.
        with_images: whether to copy all arrays; without images, those that can be made again are left out.
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
    if not with_images:
        without_images.refuse_unfit(store, progress)
        shard_files, metadata = _files_without_images(store, shard_files)
    elif (joined := shards_to_join(store, limits)) > 1:
        progress.announce(f"joining {joined} shards into one: {store.layout.shard_count} are more than hubs hold well")
        shard_files, metadata = _in_larger_shards(LargerShards(store, joined), shard_files)
    extras = set(PUBLISHED_EXTRAS if with_images else PUBLISHED_EXTRAS_WITHOUT_IMAGES)
    wanted = {file.key for file in [*shard_files, *metadata]} | {MANIFEST} | extras
    _refuse_foreign(target, target.sizes(), wanted, metadata[-1])  # before the lock is added to them
    with sole_writer(target, LOCK, progress.announce) as lock:
        there = target.sizes()
        _refuse_foreign(target, there, wanted, metadata[-1])
        copier = _Copier(target, there, metadata[-1], progress, lock, to_do=len(wanted))
        for stray in _strays(there, wanted):
            target.delete(stray)
        progress.announce(f"copying {len(wanted)} files to {target.name}")
        copier.copy(shard_files)
        copier.copy(_extras(store, metadata[-1], published_on(target), with_images))
        files = {key: {"size": size, "sha256": sha256} for key, (size, sha256) in copier.done.items()}
        files |= {file.key: {"size": len(file.content()), "sha256": file.sha256} for file in metadata}
        manifest = manifest_json(store.attributes["fingerprint"], dict(sorted(files.items())))
        copier.copy([made(MANIFEST, manifest)])
        copier.copy(metadata[:-1])
        copier.copy(metadata[-1:])
    return Published(len(copier.done), sum(size for size, _ in copier.done.values()), copier.copied)


class _Copier:
    """Copies a limited number of files at a time, and skips files that the destination holds already."""

    def __init__(
        self,
        target: Storage,
        there: Mapping[str, int],
        mark: PublishedFile,
        progress: Progress,
        lock: WriterLock,
        to_do: int,
    ) -> None:
        self.target, self.there, self.progress, self.lock, self.to_do = target, there, progress, lock, to_do
        self.done: dict[str, tuple[int, str]] = {}
        self.copied = 0
        self._mark = mark
        self._is_visible = mark.key in there
        self._hiding = threading.Lock()

    def copy(self, files: Iterable[PublishedFile]) -> None:
        """Copy files; each of them is read back and compared."""
        left = iter(files)
        copies = COPIES if self.target.files_at_once == 1 else 1  # one commit at a time
        with ThreadPoolExecutor(copies, thread_name_prefix="publish") as pool:
            running: set[Future[list[_Copied]]] = set()
            try:
                while some := list(islice(left, self.target.files_at_once)):
                    if len(running) >= copies:
                        running = self._collect(running)
                    running.add(pool.submit(self._copy_some, some))
                while running:
                    running = self._collect(running)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _has(self, file: PublishedFile) -> bool:
        """Return whether the destination holds the same bytes already."""
        return file.key in self.there and sha256_of(self.target.read_if_there(file.key) or b"") == file.sha256

    def _copy_some(self, files: Sequence[PublishedFile]) -> list[_Copied]:
        contents = {}
        copied = []
        for file in files:
            content = file.content()
            if sha256_of(content) != file.sha256:
                raise PipelineError(
                    f"{file.key} of the dataset changed while it was published. Wait until nothing writes it any "
                    "more, then publish with the same command."
                )
            is_hidden_mark = file.key == self._mark.key and not self._is_visible
            is_there = self.there.get(file.key) == len(content) and not is_hidden_mark and self._has(file)
            copied.append(_Copied(file.key, len(content), file.sha256, not is_there))
            if not is_there:
                contents[file.key] = content
        if contents:
            self.lock.check()
            self._hide()
            self.target.write_together(contents)
        for key, content in contents.items():
            if self.target.read(key) != content:
                raise PipelineError(f"{self.target.name}: {key} reads back other bytes than were written. Try again.")
        return copied

    def _hide(self) -> None:
        """Remove the root's metadata before other files change, so that readers see no half-copied dataset."""
        with self._hiding:
            if self._is_visible:
                self.target.delete(self._mark.key)
                self._is_visible = False

    def _collect(self, running: set[Future[Any]]) -> set[Future[Any]]:
        finished, running = wait(running, return_when=FIRST_COMPLETED)
        for future in finished:
            for file in future.result():
                self.done[file.key] = file.size, file.sha256
                self.copied += file.is_new
        self.progress.update(self.to_do, len(self.done), 0)
        return running


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
        objects = [computed(key, partial(larger.content, key)) for key in larger.keys(shard)]
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
    contents = store.metadata_without_images()
    files = []
    for file in shard_files:
        folder, _, name = file.key.rpartition("/")
        shard = shard_of_record(name) if folder == COMMITS else None
        if shard is not None:
            files.append(computed(file.key, partial(without_images.record_without_images, store, shard, contents)))
        elif without_images.is_kept(file.key, contents):
            files.append(file)
    return files, root_last(contents)


def _extras(store: DatasetStore, root: PublishedFile, day: str, with_images: bool) -> list[PublishedFile]:
    """Return the files for people and hubs: the card, its picture, samples for the viewer, and Croissant metadata.

    Without images there is no picture, and the samples show no photo.
    """
    samples = viewer_samples(store, with_images=with_images)
    described = {ROOT_METADATA: (len(root.content()), root.sha256), VIEWER_SAMPLES: (len(samples), sha256_of(samples))}
    extras = [
        made(VIEWER_SAMPLES, samples),
        made(CROISSANT, croissant_json(store, described, day, with_images=with_images)),
        made(CARD, dataset_card(store, with_images=with_images).encode()),
    ]
    if with_images:
        picture = io.BytesIO()
        contact_sheet(store, PREVIEW_ROWS).save(picture, "PNG")
        extras.insert(0, made(PREVIEW, picture.getvalue()))
    return extras
