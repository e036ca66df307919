"""Every command on datasets that are damaged, foreign, or in odd places: a sentence, no traceback, nothing lost."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import zarr

from tests.pipeline.conftest import Command
from tests.pipeline.drawn_dataset import contents

MEND = "pipeline verify --repair"


def gut_attributes(dataset: Path) -> None:
    metadata = json.loads((dataset / "zarr.json").read_text())
    del metadata["attributes"]["fakeflow"]["layout"]
    (dataset / "zarr.json").write_text(json.dumps(metadata))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "attributes are no mapping": lambda x: (x / "zarr.json").write_text('{"attributes": 5}'),
    "metadata are a list": lambda x: (x / "zarr.json").write_text("[]"),
    "attributes without a layout": gut_attributes,
    "ids": lambda x: (x / "id/c/0").write_bytes(b"junk"),
    "status": lambda x: (x / "status/c/1").write_bytes(b"junk"),
    "flow": lambda x: (x / "flow/c/0/0/0/0/0").write_bytes(b"junk"),
    "lost flow": lambda x: (x / "flow/c/1/0/0/0/0").unlink(),
    "lost size": lambda x: (x / "size/c/1/0").unlink(),
    "empty record": lambda x: (x / ".fakeflow/commits/000001.json").write_text("{}"),
    "binary record": lambda x: (x / ".fakeflow/commits/000001.json").write_bytes(b"\xff\xfe"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named_with_its_repair_and_never_passed_on(
    dataset: Path, tmp_path: Path, pipeline: Command, damage: str
) -> None:
    DAMAGE[damage](dataset)
    found = pipeline("verify", dataset)
    assert (found.returncode, "--repair" in found.said) == (4, True)
    outputs = {"report": "report.html", "preview": "preview.png"}
    for command in ("info", "status", *outputs):
        done = pipeline(command, dataset, *(["--output", tmp_path / outputs[command]] if command in outputs else []))
        assert done.returncode in (0, 1)
        assert done.returncode == 0 or MEND in done.said
    published = pipeline("publish", dataset, tmp_path / "published")
    assert published.returncode == 1
    assert "pipeline verify --repair" in published.said
    assert not (tmp_path / "published/zarr.json").exists()
    exported = pipeline("export", dataset, tmp_path / "tree")
    is_whole = exported.returncode == 0 and "record" in damage
    assert is_whole or (exported.returncode == 1 and MEND in exported.said)


def test_records_of_shards_that_there_are_not(dataset: Path, tmp_path: Path, pipeline: Command) -> None:
    before = contents(dataset)
    for name in ("9.json", "1.json", "000003.json", "000077.json", "abc.json"):
        (dataset / ".fakeflow/commits" / name).write_text("{}")
    assert "3 of 3" in pipeline("status", dataset).said
    assert pipeline("export", dataset, tmp_path / "tree").returncode == 0
    surplus = [finding for finding in pipeline("verify", dataset).said.splitlines() if "does not belong" in finding]
    assert {re.sub(r".*/(\S+):.*", r"\1", finding) for finding in surplus} >= {"000077.json", "9.json", "abc.json"}
    assert "and 4 more" in pipeline("publish", dataset, tmp_path / "published").said
    assert not (tmp_path / "published").exists()
    assert pipeline("verify", "--repair", dataset).returncode == 4
    assert contents(dataset) == before
    assert pipeline("verify", dataset).returncode == 0
    assert pipeline("publish", dataset, tmp_path / "published").returncode == 0


def test_a_damaged_note_on_a_run_takes_no_page_away(dataset: Path, tmp_path: Path, pipeline: Command) -> None:
    (dataset / ".fakeflow/runs").mkdir()
    (dataset / ".fakeflow/runs/20260101T000000Z.json").write_text("{")
    assert pipeline("report", dataset, "--output", tmp_path / "report.html").returncode == 0
    mended = pipeline("verify", "--repair", dataset)
    assert "removed .fakeflow/runs/20260101T000000Z.json" in mended.said
    assert "run the command" not in mended.said
    assert pipeline("verify", dataset).returncode == 0


def test_repair_of_a_published_copy_says_that_it_is_published_again(
    dataset: Path, tmp_path: Path, pipeline: Command
) -> None:
    copy = tmp_path / "published"
    pipeline("publish", dataset, copy)
    (copy / "flow/c/1/0/0/0/0").unlink()
    assert "publish the dataset to this place again" in pipeline("verify", "--repair", copy).said
    assert pipeline("publish", dataset, copy).returncode == 0
    assert pipeline("verify", copy).returncode == 0


def test_repair_leaves_what_is_not_ours_alone(dataset: Path, tmp_path: Path, pipeline: Command) -> None:
    zarr.create_group(str(tmp_path / "foreign.zarr"))
    before = contents(tmp_path / "foreign.zarr")
    done = pipeline("verify", "--repair", tmp_path / "foreign.zarr")
    assert (done.returncode, "there is no dataset of fakeflow here" in done.said) == (1, True)
    assert contents(tmp_path / "foreign.zarr") == before
    (dataset / "notes.txt").write_text("mine")
    done = pipeline("verify", "--repair", dataset)
    assert "left alone: notes.txt" in done.said
    assert "run the command" not in done.said


@pytest.mark.parametrize("place", ["x.zarr", "x.zarr/inner", "x.zarr/flow", ".", "link"])
def test_nothing_is_written_into_its_own_source(dataset: Path, pipeline: Command, place: str) -> None:
    (dataset.parent / "link").symlink_to(dataset)
    before = contents(dataset.parent)
    for command in ("publish", "export"):
        done = pipeline(command, dataset, dataset.parent / place)
        assert (done.returncode, "one lies in the other" in done.said) == (1, True)
    assert contents(dataset.parent) == before


@pytest.mark.parametrize("name", ["with space", "ünïcode-日本", "x.zarr/", "./x.zarr", "link"])
def test_odd_names_work(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pipeline: Command, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("link").symlink_to("x.zarr")
    if not Path(name).exists():
        shutil.copytree(dataset, name)
    assert pipeline("verify", name).returncode == 0
    assert pipeline("publish", name, "there").returncode == 0
    assert pipeline("export", name, "tree").returncode == 0
    assert contents(dataset).items() <= contents(Path("there")).items()
    assert len(list(Path("tree").rglob("*.*g"))) == 15


def test_destinations_that_cannot_be(dataset: Path, tmp_path: Path, pipeline: Command) -> None:
    (tmp_path / "file").write_text("mine")
    for destination, sentence in [
        ("file", "is a file. Choose a place"),
        ("file/below", "cannot write"),
        ("", "An empty path"),
        ("/proc/nothing", "cannot write"),
        ("ftp://127.0.0.1:9/x", "cannot be opened"),
        ("zip://a::absent.zip", "is a chain of URLs, which can only be read"),
    ]:
        is_relative = destination and "://" not in destination
        done = pipeline("publish", dataset, tmp_path / destination if is_relative else destination)
        assert (done.returncode, sentence in done.said) == (1, True), done
    assert (tmp_path / "file").read_text() == "mine"


def test_a_tree_with_a_damaged_mark_is_left_alone(dataset: Path, tmp_path: Path, pipeline: Command) -> None:
    pipeline("export", dataset, tmp_path / "tree")
    (tmp_path / "tree/.fakeflow-export.json").write_text("{junk")
    done = pipeline("export", dataset, tmp_path / "tree")
    assert (done.returncode, "shows another dataset" in done.said) == (1, True)


def test_verify_names_the_sample_only_where_it_is_known(dataset: Path, pipeline: Command) -> None:
    (dataset / "id/c/0").write_bytes(b"junk")
    assert "id/c/0: has other bytes" in pipeline("verify", dataset).said
