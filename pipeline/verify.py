"""Is a dataset what was written, whole, and does it make sense?

Every file is covered by a checksum: objects by their shard's commit record, the arrays' metadata by the root's, and
records, the root's metadata and a published dataset's manifest by their own (`pipeline.sealed`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.arrays import OURS, ROOT_METADATA, shard_key
from pipeline.commits import COMMITS, COMMITS_NOTE, COMMITS_NOTE_TEXT, PRIVATE_FOLDER, commit_key, shard_of_record
from pipeline.config import fingerprint
from pipeline.errors import PipelineError
from pipeline.manifest_file import MADE_BY_HOSTS, MANIFEST, PUBLISHED_EXTRAS, read_manifest
from pipeline.progress import Progress
from pipeline.sealed import is_intact
from pipeline.storage import PARTIAL, Storage
from pipeline.store import LOCK, RUNS, DatasetStore

READERS = 4
"""Objects that are read at the same time; also how many are in memory."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong.

    Attributes:
        key: of the file; empty if the fault lies in several.
        problem: what was found and what was expected.
        shard: that must be made again; None if none can repair it.
        ids: of the samples concerned, if known.
        is_surplus: the file does not belong there, nothing else is wrong with it.
    """

    key: str
    problem: str
    shard: int | None = None
    ids: tuple[str, ...] = ()
    is_surplus: bool = False


@dataclass
class Verification:
    """What `verify` found; `rows_compared` counts the samples whose values were looked at, not only their checksums."""

    findings: list[Finding] = field(default_factory=list)
    objects: int = 0
    shards: int = 0
    missing_shards: int = 0
    rows_compared: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong and nothing missing."""
        return not self.findings and not self.missing_shards


@dataclass(frozen=True)
class _Shard:
    """One committed shard of one group: its record, and where the group lies."""

    folder: str
    number: int
    record: dict[str, Any]


def verify(url: str, progress: Progress, all_rows: bool = False) -> Verification:
    """Check every file's checksum, the schema, and the values of some or all samples.

    Args:
        url: a dataset of photos or the flows of videos; local or in an object store, published or not.
        progress: who watches; counts objects.
        all_rows: compare the values of every sample, not only of an even spread.

    Raises:
        PipelineError: there is no dataset, or it cannot be read.
    """
    storage = Storage(url)
    sizes = storage.sizes()
    is_ours = any(key.startswith(f"{PRIVATE_FOLDER}/") for key in sizes)
    if not is_ours and not is_intact(storage.read_if_there(ROOT_METADATA) or b""):
        raise PipelineError(f"{storage.name}: there is no dataset of fakeflow here.")
    result = Verification()
    expected = {LOCK, *MADE_BY_HOSTS}
    jobs: list[_Shard] = []
    for folder in groups(sizes):
        jobs += _check_group(storage, folder, sizes, expected, result)
    expected |= _check_manifest(storage, sizes, result)
    to_do = sum(len(job.record["objects"]) for job in jobs)
    done = 0
    with ThreadPoolExecutor(READERS, thread_name_prefix="verify") as pool:
        for job in jobs:
            keys = {f"{job.folder}{key}": checksum for key, checksum in job.record["objects"].items()}
            expected |= keys.keys()
            for finding in pool.map(lambda item, job=job: _check_object(storage, sizes, job, *item), keys.items()):
                done += 1
                if finding:
                    result.findings.append(finding)
            progress.update(to_do, done, len(result.findings))
    result.objects = done
    for key in sorted(sizes.keys() - expected):
        result.findings.append(Finding(key, "does not belong to the dataset", is_surplus=True))
    if not result.findings:
        _check_values(url, progress, all_rows, result)
    result.findings = [_with_ids(url, finding) for finding in result.findings]
    return result


def groups(sizes: dict[str, int]) -> list[str]:
    """Return the folders, each empty or with a trailing `/`, that hold a dataset of their own; the root's first."""
    note = f"/{COMMITS_NOTE}"
    inner = {key.removesuffix(COMMITS_NOTE) for key in sizes if key.endswith(note)}
    inner |= {key.partition(f"{COMMITS}/")[0] for key in sizes if f"/{COMMITS}/" in key}
    return ["", *sorted(inner)]


def _check_group(
    storage: Storage, folder: str, sizes: dict[str, int], expected: set[str], result: Verification
) -> list[_Shard]:
    """Check the metadata and commit records of one group; return its committed shards."""
    attributes, arrays = _check_metadata(storage, folder, sizes, expected, result)
    note = f"{folder}{COMMITS_NOTE}"
    expected.add(note)
    if storage.read_if_there(note) != COMMITS_NOTE_TEXT:
        result.findings.append(Finding(note, "is missing or changed"))
    prefix = f"{folder}{COMMITS}/"
    names = sorted(key.removeprefix(prefix) for key in sizes if key.startswith(prefix))
    recorded = {shard: f"{prefix}{name}" for name in names if (shard := shard_of_record(name)) is not None}
    shards = []
    for shard, key in recorded.items():
        expected.add(key)
        content = storage.read_if_there(key) or b""
        problem, record = _check_record(content, shard, attributes, arrays)
        if problem:
            result.findings.append(Finding(key, problem, shard))
            # its objects are not surplus: they go, or are made again, with the shard
            expected |= {key for key in sizes if key.startswith(folder) and is_of_shard(key[len(folder) :], shard)}
        else:
            shards.append(_Shard(folder, shard, record))
    for key in (key for key in sizes if key.startswith(f"{folder}{RUNS}/") and key.endswith(".json")):
        expected.add(key)
        if not is_intact(storage.read_if_there(key) or b""):
            result.findings.append(Finding(key, "differs from its own checksum", is_surplus=True))
    wanted = _shards_of(arrays)
    result.shards += wanted
    missing = set(range(wanted)) - recorded.keys()
    result.missing_shards += len(missing)
    if missing:  # a stopped run may have left objects of them
        numbers = {str(shard) for shard in missing}
        expected |= {key for key in sizes if key.startswith(folder) and _shard_of(key[len(folder) :]) in numbers}
    return shards


def _check_metadata(
    storage: Storage, folder: str, sizes: dict[str, int], expected: set[str], result: Verification
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Check a group's metadata; return its attributes and name -> metadata of its arrays, as far as they are intact."""
    root = f"{folder}{ROOT_METADATA}"
    arrays_below = {
        key
        for key in sizes
        if key.startswith(folder) and key.endswith(f"/{ROOT_METADATA}") and key[len(folder) :].count("/") == 1
    }
    expected.add(root)
    content = storage.read_if_there(root)
    if content is None:
        result.findings.append(Finding(root, "is missing"))
        expected |= arrays_below
        return {}, {}
    if not is_intact(content):
        result.findings.append(Finding(root, "differs from its own checksum"))
        expected |= arrays_below
        return {}, {}
    attributes: dict[str, Any] = json.loads(content)["attributes"][OURS]
    if "settings" in attributes and attributes.get("fingerprint") != fingerprint(attributes["settings"]):
        result.findings.append(Finding(root, "has settings that do not give its fingerprint"))
    arrays = {}
    for key, checksum in attributes["metadata"].items():
        expected.add(f"{folder}{key}")
        metadata = storage.read_if_there(f"{folder}{key}")
        if metadata is None:
            result.findings.append(Finding(f"{folder}{key}", "is missing"))
        elif hashlib.sha256(metadata).hexdigest() != checksum:
            result.findings.append(Finding(f"{folder}{key}", "differs from its checksum in the root's zarr.json"))
        else:
            arrays[key.removesuffix(f"/{ROOT_METADATA}")] = json.loads(metadata)
    if attributes.get("kind") == DatasetStore.kind:
        result.findings += _check_schema(root, attributes, arrays)
    return attributes, arrays


def _check_schema(root: str, attributes: dict[str, Any], arrays: dict[str, Any]) -> Iterator[Finding]:
    """Compare a dataset of photos with what this version would write."""
    if attributes["schema_version"] != DatasetStore.version:
        version = attributes["schema_version"]
        yield Finding(root, f"has schema version {version}, this fakeflow knows version {DatasetStore.version}")
        return
    for name, spec in DatasetStore.specs(DatasetStore.read_layout(attributes["layout"])).items():
        stored = arrays.get(name)
        if stored is None:
            if f"{name}/{ROOT_METADATA}" not in attributes["metadata"]:
                yield Finding(root, f"has no array {name}")
            continue
        wanted = (list(spec.shape), list(spec.dimensions), json.loads(json.dumps(dict(spec.attributes))))
        found = (stored["shape"], stored["dimension_names"], stored["attributes"])
        if found != wanted or (spec.dtype != "string" and stored["data_type"] != spec.dtype):
            yield Finding(f"{name}/{ROOT_METADATA}", "has another shape, type or attributes than the schema")


def _check_record(
    content: bytes, shard: int, attributes: dict[str, Any], arrays: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Return what is wrong with a commit record, empty if nothing is, and the record."""
    if not is_intact(content):
        return "differs from its own checksum", {}
    record: dict[str, Any] = json.loads(content)
    if record["shard"] != shard:
        return f"is that of shard {record['shard']}", {}
    if attributes and record["fingerprint"] != attributes.get("fingerprint"):
        return "was made with other settings than the dataset's", {}
    wanted = {shard_key(name, len(array["shape"]), shard) for name, array in arrays.items()}
    if arrays and len(arrays) == len(attributes["metadata"]) and record["objects"].keys() != wanted:
        return f"lists {len(record['objects'])} objects, expected one for each of {len(wanted)} arrays", {}
    return "", record


def _check_object(storage: Storage, sizes: dict[str, int], job: _Shard, key: str, checksum: str) -> Finding | None:
    if key not in sizes:
        return Finding(key, "is missing", job.number)
    content = storage.read_if_there(key)
    if content is None or hashlib.sha256(content).hexdigest() != checksum:
        return Finding(key, f"has other bytes than were written ({sizes[key]:,} bytes now)", job.number)
    return None


def _check_manifest(storage: Storage, sizes: dict[str, int], result: Verification) -> set[str]:
    """Check the files that publishing added; return their keys."""
    if MANIFEST not in sizes:
        return set()
    try:
        listed = read_manifest(storage)
    except PipelineError as damage:
        result.findings.append(Finding(MANIFEST, str(damage)))
        return {MANIFEST, *PUBLISHED_EXTRAS}
    for key in PUBLISHED_EXTRAS:
        content = storage.read_if_there(key)
        if key in listed and (content is None or hashlib.sha256(content).hexdigest() != listed[key]["sha256"]):
            result.findings.append(Finding(key, "is missing or differs from its checksum in the manifest"))
    return {MANIFEST, *(key for key in PUBLISHED_EXTRAS if key in listed)}


def _check_values(url: str, progress: Progress, all_rows: bool, result: Verification) -> None:
    """Look at the values of photos' samples, shard by shard; checksums were right."""
    root = json.loads(Storage(url).read(ROOT_METADATA))["attributes"][OURS]
    if root["kind"] != DatasetStore.kind:
        result.notes.append(f"{root['kind']}: checksums and metadata were checked, values were not")
        return
    from pipeline.plausibility import DatasetChecker

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
    """Say whose samples a broken shard of photos holds, where that can still be read."""
    if finding.shard is None or finding.ids:
        return finding
    try:
        store = DatasetStore.open(url)
        rows = store.layout.rows(finding.shard)
        ids = store.read("id", slice(rows.start, rows.stop))
    except (PipelineError, ValueError, KeyError):  # the ids themselves are damaged, or these are flows of videos
        return finding
    return replace(finding, ids=tuple(str(sample_id) for sample_id in ids if sample_id))


def _shards_of(arrays: dict[str, Any]) -> int:
    """Return the number of shards from any array's metadata."""
    for array in arrays.values():
        rows, in_shard = array["shape"][0], array["chunk_grid"]["configuration"]["chunk_shape"][0]
        return int(-(-rows // in_shard))
    return 0


def _shard_of(key: str) -> str:
    """Return the number of the shard that an object `<array>/c/<shard>/...` is of; empty for other files."""
    parts = key.split("/")
    return parts[2] if len(parts) > 2 and parts[1] == "c" and not key.endswith(PARTIAL) else ""


def is_of_shard(key: str, shard: int) -> bool:
    """Tell whether a file of a group is an object of a shard."""
    return _shard_of(key) == str(shard)
