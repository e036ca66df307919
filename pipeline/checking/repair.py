"""Repair of a dataset: broken shards are removed, so that the command that made the dataset makes them again."""

from __future__ import annotations

from pipeline.checking.file_check import groups, is_of_shard
from pipeline.checking.findings import Verification
from pipeline.dataset.commits import COMMITS_NOTE, COMMITS_NOTE_TEXT, PRIVATE_FOLDER, commit_key
from pipeline.dataset.keys import ROOT_METADATA
from pipeline.dataset.published_files import MANIFEST, PUBLISHED_EXTRAS
from pipeline.dataset.store import DatasetStore
from pipeline.files.locks import Announce
from pipeline.files.storage import Storage
from pipeline.files.whole_files import PARTIAL


def repair(url: str, found: Verification, announce: Announce) -> list[str]:
    """Remove the broken parts of a dataset, so that the command that made the dataset makes them again.

    The commit record and the objects of a broken shard are deleted. If metadata are broken, the root's `zarr.json` is
    deleted; the command then writes all metadata again, and keeps the shards that were made with its settings.

    Args:
        url: the dataset.
        found: result of `verify`.
        announce: told if the dataset is locked and the lock is waited for.

    Returns:
        Sentences about what was done, what was left alone, and what to do next.
    """
    storage = Storage(url)
    done: list[str] = []
    left = []
    is_incomplete = False
    with DatasetStore(url).sole_writer(announce):
        sizes = storage.sizes()
        folders = groups(sizes)
        for finding in found.findings:
            folder = next(f for f in reversed(folders) if finding.key.startswith(f))
            own = finding.key.removeprefix(folder)
            is_incomplete |= finding.shard is not None
            if finding.shard is not None:
                storage.delete(f"{folder}{commit_key(finding.shard)}")
                for key in sizes:
                    if key.startswith(folder) and is_of_shard(key.removeprefix(folder), finding.shard):
                        storage.delete(key)
                done.append(f"dropped shard {finding.shard}{f' of {folder}' if folder else ''}")
            elif own == COMMITS_NOTE:
                storage.write(finding.key, COMMITS_NOTE_TEXT)
                done.append(f"wrote {finding.key}")
            elif finding.is_surplus and _is_in_dataset(own):
                storage.delete(finding.key)
                done.append(f"removed {finding.key}")
            elif finding.is_surplus or own in (MANIFEST, *PUBLISHED_EXTRAS):
                left.append(finding.key)
            else:
                is_incomplete = True
                storage.delete(f"{folder}{ROOT_METADATA}")
                done.append(f"removed {folder}{ROOT_METADATA}, which the next run writes anew")
    if left:
        done.append(f"left alone: {', '.join(left[:5])}{' ...' if len(left) > 5 else ''}; remove or publish them anew")
    if is_incomplete and MANIFEST in sizes:
        done.append("Now publish the dataset to this place again: the same command mends the copy.")
    elif is_incomplete:
        done.append("Now run the command that made the dataset again.")
    return list(dict.fromkeys(done))


def _is_in_dataset(key: str) -> bool:
    """Return whether a file lies in a folder that is reserved for files of the dataset."""
    parts = key.split("/")
    return parts[0] == PRIVATE_FOLDER or (len(parts) > 1 and parts[1] == "c") or key.endswith(PARTIAL)
