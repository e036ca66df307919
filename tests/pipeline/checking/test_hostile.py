"""Datasets that their author sealed to do harm: checksums are right, and yet nothing outside is read or written."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

from pipeline.checking.verify import verify
from pipeline.dataset.flow_store import FlowDataset, FlowLayout, FlowStoreError
from pipeline.dataset.sealed import FIELD, UNSEALED, seal, sealed_json
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from pipeline.files.conditional import create
from pipeline.files.storage import Storage
from pipeline.sharing.publish import publish
from tests.pipeline.checking.damage import Silent
from tests.pipeline.conftest import Command
from tests.pipeline.drawn_dataset import contents
from tests.pipeline.faulty_s3 import BUCKET, faulty_s3

PAYLOAD = b"written by a dataset"
KEYS = ("../payload", "flow/../../payload", "../../victim.txt", "/tmp/payload", "file:///tmp/payload", "flow//payload")
RECORD, ROOT = ".fakeflow/commits/000000.json", "zarr.json"


@pytest.fixture
def dataset(made_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_once, tmp_path / "there/x.zarr"))


def reseal(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a sealed file as its author could."""
    values = json.loads(path.read_bytes())
    change(values)
    if path.name == ROOT:
        values["attributes"]["fakeflow"][FIELD] = UNSEALED
        path.write_bytes(seal(json.dumps(values).encode()))
    else:
        del values[FIELD]
        path.write_bytes(sealed_json(values))


def name_key(dataset: Path, file: str, key: str, *, instead: bool = False) -> None:
    """Make a record or the root's metadata name a key, with the checksum of the payload."""

    def change(values: dict[str, Any]) -> None:
        keys = values["objects"] if file == RECORD else values["attributes"]["fakeflow"]["metadata"]
        if instead:
            keys.popitem()
        keys[key] = hashlib.sha256(PAYLOAD).hexdigest()

    reseal(dataset / file, change)


@pytest.mark.parametrize("instead", [False, True], ids=["added", "instead"])
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("file", [RECORD, ROOT])
def test_a_key_that_leads_out_of_the_dataset_is_never_followed(
    dataset: Path, tmp_path: Path, pipeline: Command, file: str, key: str, instead: bool
) -> None:
    name_key(dataset, file, key, instead=instead)
    for place in ("payload", "victim.txt"):
        (tmp_path / "there" / place).write_bytes(PAYLOAD)  # what the key means, seen from the dataset
        (tmp_path / place).write_bytes(PAYLOAD)
    (tmp_path / "here/below").mkdir(parents=True)
    (tmp_path / "here/victim.txt").write_text("mine")
    before = contents(tmp_path)
    done = pipeline("publish", dataset, tmp_path / "here/below/published")
    assert (done.returncode, f"{key!r}, which the schema does not have" in done.said) == (1, True), done.said
    assert contents(tmp_path) == before
    found = pipeline("verify", dataset)
    assert (found.returncode, f"{file}" in found.stdout) == (4, True)
    for command in ("status", "info", "report"):
        assert pipeline(command, dataset, *(["--output", tmp_path / "r.html"] if command == "report" else [])).said
    (tmp_path / "r.html").unlink(missing_ok=True)
    pipeline("verify", "--repair", dataset)
    outside = {name: checksum for name, checksum in before.items() if not name.startswith("there/x.zarr/")}
    assert outside.items() <= contents(tmp_path).items()


def copy_with_payloads(dataset: Path, filesystem: fsspec.AbstractFileSystem, root: str) -> None:
    """Put a dataset in a store, with objects literally named as hostile keys."""
    for path in dataset.rglob("*"):
        if path.is_file():
            filesystem.pipe_file(f"{root}/{path.relative_to(dataset)}", path.read_bytes())


@pytest.mark.parametrize("file", [RECORD, ROOT])
def test_nor_where_an_object_store_has_an_object_of_that_name(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    name_key(dataset, file, "../payload")
    with faulty_s3(monkeypatch):
        from moto.s3.models import s3_backends

        store = Storage(f"s3://{BUCKET}/x.zarr")
        copy_with_payloads(dataset, store.filesystem, f"{BUCKET}/x.zarr")
        s3_backends["123456789012"]["aws"].put_object(BUCKET, "x.zarr/../payload", PAYLOAD)
        assert "../payload" in store.sizes()
        result = verify(f"s3://{BUCKET}/x.zarr", Silent())
        assert {finding.key for finding in result.findings} == {file, "../payload"}
        with pytest.raises(PipelineError, match="is damaged"):
            publish(f"s3://{BUCKET}/x.zarr", str(tmp_path / "here/published"), Silent())
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize("key", [*KEYS, "..", ".", "a/./b", "a/", "a\0b"])
def test_storage_itself_refuses_keys_that_lead_out(tmp_path: Path, key: str) -> None:
    (tmp_path / "victim.txt").write_text("mine")
    storage = Storage(str(tmp_path / "x"))
    attempts: list[Callable[[], object]] = [
        lambda: storage.read(key),
        lambda: storage.read_if_there(key),
        lambda: storage.write(key, b""),
        lambda: storage.write_together({key: b""}),
        lambda: create(storage, key, b""),
        lambda: storage.delete(key),
        lambda: storage.has(key),
        lambda: storage.names(key),
    ]
    for attempt in attempts:
        with pytest.raises(PipelineError, match="leads out of this place or is no path in it"):
            attempt()
    assert [path.name for path in tmp_path.rglob("*")] == ["victim.txt"]


@pytest.mark.parametrize("group", ["", "bear/"])
def test_hostile_names_in_the_flows_of_videos(tmp_path: Path, group: str) -> None:
    flows = FlowDataset(str(tmp_path / "flows.zarr"))
    flows.begin({})
    flows.video("bear").create(FlowLayout(3, 32, 40), {"fingerprint": "f"})
    flows.list_for_zarr()
    assert not verify(flows.url, Silent()).findings
    reseal(
        tmp_path / f"flows.zarr/{group}zarr.json",
        lambda values: values["consolidated_metadata"]["metadata"].update(
            {"../..": dict(list(values["consolidated_metadata"]["metadata"].values())[-1])}
        ),
    )
    (finding,) = verify(flows.url, Silent()).findings
    assert (finding.key, "'../..'" in finding.problem) == (f"{group}zarr.json", True)
    for name in ("", "../bear", "two\nlines", "escape\x1b[2J"):
        with pytest.raises(FlowStoreError, match="cannot be a folder's"):
            flows.video(name)


CONTRADICTIONS: dict[str, tuple[str, Callable[[dict[str, Any]], object], str]] = {
    "foreign fingerprint": (RECORD, lambda v: v.update(fingerprint="0" * 64), "was made with other settings"),
    "another shard's number": (RECORD, lambda v: v.update(shard=1), "is that of shard 1"),
    "failures that status does not know": (
        RECORD,
        lambda v: v["failures"].append({"row": 0, "id": "scene_000", "reason": "truncated", "message": "m"}),
        "name other samples as failed",
    ),
    "failures of other rows": (
        ".fakeflow/commits/000001.json",
        lambda v: v["failures"][0].update(row=2),
        "name other samples as failed",
    ),
    "failure with a field more": (RECORD, lambda v: v["failures"].append({"x": 1}), "a failure with other fields"),
    "failures that are no list": (RECORD, lambda v: v.update(failures=5), "is not what a commit record is"),
    "record without objects": (RECORD, lambda v: v.pop("objects"), "is not what a commit record is"),
    "an object too few": (RECORD, lambda v: v["objects"].popitem(), "does not name"),
    "layout without rows": (ROOT, lambda v: v["attributes"]["fakeflow"]["layout"].pop("samples"), "is not what the"),
    "shards of no rows": (
        ROOT,
        lambda v: v["consolidated_metadata"]["metadata"]["flow"]["chunk_grid"]["configuration"].update(
            chunk_shape=[0, 1, 40, 40, 2]
        ),
        "is not what the metadata of a dataset are",
    ),
    "shape unlike the array's own": (
        ROOT,
        lambda v: v["consolidated_metadata"]["metadata"]["flow"].update(shape=[9, 1, 40, 40, 2]),
        "than the schema",
    ),
    "one array too few": (ROOT, lambda v: v["consolidated_metadata"]["metadata"].pop("flow"), "does not name 'flow'"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_what_verify_refuses_publish_refuses_and_no_command_ends_in_a_traceback(
    dataset: Path, tmp_path: Path, pipeline: Command, case: str
) -> None:
    file, change, problem = CONTRADICTIONS[case]
    reseal(dataset / file, change)
    found = pipeline("verify", dataset)
    assert (found.returncode, problem in found.stdout) == (4, True), found.said
    published = pipeline("publish", dataset, tmp_path / "published")
    assert (published.returncode, problem in published.said) == (1, True), published.said
    assert not (tmp_path / "published").exists()
    for command in ("status", "info", "preview", "report"):
        picture = ["--output", tmp_path / f"o.{command}"] if command in ("preview", "report") else []
        assert pipeline(command, dataset, *picture).said


@pytest.mark.parametrize("file", [ROOT, RECORD])
def test_brackets_without_end_are_damage(dataset: Path, pipeline: Command, file: str) -> None:
    brackets = b"[" * 100_000
    (dataset / file).write_bytes(seal(b'{"file_sha256": "' + UNSEALED.encode() + b'", "x": ' + brackets))
    found = pipeline("verify", dataset)
    assert (found.returncode, file in found.stdout) == (4, True)
    assert pipeline("status", dataset).returncode in (0, 1)


def test_surplus_objects_are_not_published_nor_left_out_in_silence(dataset: Path, tmp_path: Path) -> None:
    (dataset / "image/c/7/0/0").mkdir(parents=True)
    (dataset / "image/c/7/0/0/0").write_bytes(PAYLOAD)
    with pytest.raises(PipelineError, match=r"image/c/7/0/0/0: does not belong to the dataset"):
        publish(str(dataset), str(tmp_path / "published"), Silent())
    assert DatasetStore.open(str(dataset)).committed() == {0, 1, 2}


def test_a_manifest_that_lists_something_else_is_found(dataset: Path, tmp_path: Path) -> None:
    publish(str(dataset), str(tmp_path / "published"), Silent())
    manifest = tmp_path / "published/manifest.json"
    reseal(manifest, lambda values: values["files"].update({"../payload": {"size": 1, "sha256": "0" * 64}}))
    (finding,) = verify(str(tmp_path / "published"), Silent()).findings
    assert (finding.key, "../payload" in finding.problem) == ("manifest.json", True)
