"""Verification of a dataset: all bytes as written, nothing missing, plausible values."""

from __future__ import annotations

import json
from dataclasses import replace

from pipeline.checking.file_check import FileChecker
from pipeline.checking.findings import Finding, Verification
from pipeline.command.progress import Progress
from pipeline.dataset.commits import PRIVATE_FOLDER, commit_key
from pipeline.dataset.keys import OURS, ROOT_METADATA
from pipeline.dataset.sealed import is_intact
from pipeline.dataset.sharded_store import refuse_unfinished_copy
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from pipeline.files.storage import Storage


def verify(url: str, progress: Progress, all_rows: bool = False) -> Verification:
    """Check every file's checksum, the schema, and the values of some or all samples.

    Args:
        url: a dataset of photos or the flow of videos; local or in an object store, published or not.
        progress: told how many objects, and then samples, are checked.
        all_rows: compare the values of every sample, not only of some that are evenly spread.

    Raises:
        PipelineError: there is no dataset, it is an unfinished copy, or it cannot be read.
    """
    storage = Storage(url)
    checker = FileChecker(storage)
    root = storage.read_if_there(ROOT_METADATA)
    if root is None:
        refuse_unfinished_copy(storage)
    is_ours = any(key.startswith(f"{PRIVATE_FOLDER}/") for key in checker.sizes)
    if not is_ours and not is_intact(root or b""):
        raise PipelineError(f"{storage.name}: there is no dataset of fakeflow here.")
    checker.check(progress)
    result = checker.result
    if not result.findings:
        _check_values(url, progress, all_rows, result)
    result.findings = [_with_ids(url, finding) for finding in result.findings]
    return result


def _check_values(url: str, progress: Progress, all_rows: bool, result: Verification) -> None:
    """Check the values of a dataset of photos shard by shard, after its checksums were found right."""
    root = json.loads(Storage(url).read(ROOT_METADATA))["attributes"][OURS]
    if root["kind"] != DatasetStore.kind:
        result.notes.append(f"{root['kind']}: checksums and metadata were checked, values were not")
        return
    from pipeline.checking.plausibility import DatasetChecker

    store = DatasetStore.open(url)
    checker = DatasetChecker(store, all_rows)
    progress.announce(f"checksums are right; comparing the values of {checker.rows_to_compare} samples")
    for shard in sorted(store.committed()):
        for ids, problem in checker.problems(shard):
            result.findings.append(Finding(commit_key(shard), problem, shard, ids))
        progress.update(checker.rows_to_compare, checker.rows_compared, len(result.findings))
    result.rows_compared = checker.rows_compared
    result.notes += checker.notes


def _with_ids(url: str, finding: Finding) -> Finding:
    """Add the ids of the samples of a broken shard of photos to a finding, if they can still be read."""
    if finding.shard is None or finding.ids:
        return finding
    try:
        store = DatasetStore.open(url)
        rows = store.layout.rows(finding.shard)
        ids = store.read("id", slice(rows.start, rows.stop))
    except (PipelineError, ValueError, KeyError):  # the ids themselves are damaged, or these are flows of videos
        return finding
    return replace(finding, ids=tuple(str(sample_id) for sample_id in ids if sample_id))
