"""`pipeline verify`: changed, lost and added files are named, and repaired shards are made again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline.checking.repair import repair
from pipeline.commands import app
from pipeline.dataset import schema
from pipeline.dataset.commits import Failure
from pipeline.dataset.flow_store import FlowDataset, FlowLayout
from pipeline.dataset.sealed import FIELD, UNSEALED, seal
from pipeline.dataset.shard_writer import write_shard
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from tests.pipeline.checking.damage import SPOIL, check, flip_bit
from tests.pipeline.drawn_dataset import contents, make_dataset


def test_an_intact_dataset_is_said_to_be_so(dataset: Path) -> None:
    before = contents(dataset)
    result = check(dataset)
    assert result.is_whole
    assert (result.objects, result.shard_count, result.rows_compared) == (24, 3, 6)
    assert contents(dataset) == before


def test_a_flipped_bit_in_any_kind_of_file_is_found_there(dataset: Path) -> None:
    rng = np.random.default_rng(0)
    files = [path for path in sorted(dataset.rglob("*")) if path.is_file()]
    assert len(files) == 24 + 9 + 3 + 1
    for path in files:
        whole = path.read_bytes()
        flip_bit(path, rng)
        found = {finding.key for finding in check(dataset, all_rows=False).findings}
        assert found == {str(path.relative_to(dataset))}
        path.write_bytes(whole)
    assert check(dataset).is_whole


@pytest.mark.slow
def test_a_flipped_bit_in_each_of_200_places_is_found(dataset: Path) -> None:
    from benchmarks.robustness import flipped_bits_found

    assert flipped_bits_found(dataset, 200) == 200


@pytest.mark.parametrize("case", SPOIL)
def test_what_is_lost_truncated_or_added_is_named(dataset: Path, case: str) -> None:
    spoil, key, problem = SPOIL[case]
    spoil(dataset)
    result = check(dataset)
    assert {finding.key for finding in result.findings} == {key}
    assert problem in result.findings[0].problem


def reseal(path: Path, change: Callable[[str], str]) -> None:
    """Change a sealed file and give it the checksum that fits."""
    changed = re.sub(f'"{FIELD}": "[0-9a-f]+"', f'"{FIELD}": "{UNSEALED}"', change(path.read_text()))
    assert changed != path.read_text()
    path.write_bytes(seal(changed.encode()))


def test_a_shard_that_was_made_with_other_settings_is_named(dataset: Path) -> None:
    key = ".fakeflow/commits/000001.json"
    reseal(dataset / key, lambda text: re.sub('"fingerprint": "[0-9a-f]+"', f'"fingerprint": "{"e" * 64}"', text))
    (finding,) = check(dataset).findings
    assert (finding.key, finding.shard) == (key, 1)
    assert "made with other settings than the dataset's" in finding.problem


def test_settings_that_were_changed_afterwards_are_named(dataset: Path) -> None:
    reseal(dataset / "zarr.json", lambda text: re.sub('"seed": 5', '"seed": 6', text))
    assert [(finding.key, finding.problem) for finding in check(dataset).findings] == [
        ("zarr.json", "has settings that do not give its fingerprint")
    ]


def test_a_broken_shard_is_named_by_the_ids_of_its_samples(dataset: Path) -> None:
    (dataset / "flow/c/2/0/0/0/0").write_bytes(b"")
    (finding,) = check(dataset).findings
    assert (finding.shard, finding.ids) == (2, ("scene_004", "scene_005"))


def rewrite(store: DatasetStore, shard: int, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    """Write a shard anew with values that are wrong, but stored without fault."""
    rows = store.layout.rows(shard)
    names = schema.array_specs(store.layout)
    arrays = {name: store.read(name, slice(rows.start, rows.stop)) for name in names}
    change(arrays)
    write_shard(store, shard, arrays, [], "float32")


def put(name: str, place: tuple[object, ...], value: object) -> Callable[[dict[str, np.ndarray]], object]:
    return lambda arrays: arrays[name].__setitem__(place, value)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (put("flow", (1, 0, 20, 20, 0), 999), r"differs by up to .* px from the flow that its motion makes"),
        (lambda arrays: arrays["flow"][1, 0, 20, :30].__iadd__(3), r"differs by up to 0.05 px from the flow"),
        (
            put("flow", (1, 0, 0, slice(0, 30)), schema.UNKNOWN_FLOW),
            "unknown in the stored or in the repeated flow",
        ),
        (put("flow", (1, 0, 0, 39, 0), 1), "flow is not zero outside the picture of 30 x 40 px"),
        (put("image", (1, 0, 39), 1), "image is not zero outside"),
        (put("mask", (1, 5, 5), 7), "mask has values other than 0 and 255"),
        (put("mask", (1,), 0), "mask is all background"),
        (put("inverse_depth", (1, 3, 3), 5000), "inverse_depth goes up to 5000"),
        (put("size", (1,), (4, 4)), r"size \(4, 4\); expected 16 to 40 px"),
        (put("motion", (1, 0, 3), np.nan), "motion parameters are not finite"),
        (put("motion", (1, 0, 0), 77), "cannot be made again"),
        (put("id", (1,), "scene_004"), "expected rising, unique ids"),
        (put("status", (1,), schema.FAILED), "name other samples as failed"),
        (put("status", (1,), schema.NOT_MADE), "neither usable nor failed"),
    ],
)
def test_values_that_make_no_sense_are_named_by_id(
    dataset: Path, change: Callable[[dict[str, np.ndarray]], object], problem: str
) -> None:
    rewrite(DatasetStore.open(str(dataset)), 2, change)
    findings = check(dataset).findings
    assert findings
    assert {finding.shard for finding in findings} == {2}
    assert re.search(problem, findings[0].problem)
    assert set(findings[0].ids) <= {"scene_004", "scene_005"}


@pytest.mark.parametrize("sample_id", ["", "scene_005\x1b[2J", "scene_005\n", "scene_005\u202e"])
def test_ids_that_cannot_be_printed_are_named_and_shown_escaped(dataset: Path, sample_id: str) -> None:
    store = DatasetStore.open(str(dataset))
    rewrite(store, 2, lambda arrays: (put("id", (1,), sample_id)(arrays), put("status", (1,), schema.FAILED)(arrays)))
    failure = Failure(5, sample_id, "truncated", f"{sample_id}.jpg ends early")
    store.commits.write(2, store.commits.read(2)["objects"], [failure], store.attributes["fingerprint"], "float32")
    assert "the id is empty or has control characters" in check(dataset).findings[0].problem
    for arguments in (["verify", str(dataset)], ["status", "--failures", str(dataset)]):
        said = CliRunner().invoke(app, arguments).output
        assert "scene_005\\" in said or not sample_id
        assert not any(character in said for character in "\x1b\u202e")
        assert sample_id not in said or not sample_id


def test_shards_that_are_not_made_yet_are_no_damage_but_not_whole(tmp_path: Path) -> None:
    make_dataset(str(tmp_path / "x.zarr"), without_shard=1)
    result = check(tmp_path / "x.zarr")
    assert not result.findings
    assert (result.shard_count, result.missing_shard_count, result.is_whole) == (3, 1, False)


def test_what_a_living_run_is_writing_is_no_damage(dataset: Path) -> None:
    partial = dataset / "image/c/0/0/0/0.0123456789abcdef.partial"
    with DatasetStore(str(dataset)).sole_writer():
        partial.write_bytes(b"half")
        result = check(dataset)
        assert result.is_whole
        assert any("another run is writing" in note for note in result.notes)
    assert check(dataset).is_whole
    partial.write_bytes(b"left by a killed run")
    assert {finding.key for finding in check(dataset).findings} == {str(partial.relative_to(dataset))}
    with DatasetStore(str(dataset)).sole_writer():  # removes what the last one left
        pass
    assert check(dataset).is_whole


def test_the_bytes_of_a_lock_do_not_matter_and_verify_says_what_it_does_not_read(dataset: Path) -> None:
    (dataset / ".fakeflow/lock").write_bytes(b"left by a killed run, or by anybody")
    (dataset / ".gitattributes").write_bytes(b"*.png lfs")
    result = check(dataset)
    assert result.is_whole
    assert result.notes == ["not read, because they are not part of the dataset: .fakeflow/lock, .gitattributes"]
    done = CliRunner().invoke(app, ["verify", str(dataset)])
    assert "note: not read, because they are not part of the dataset: .fakeflow/lock, .gitattributes" in done.output


def test_command_names_what_is_wrong_and_fails(dataset: Path) -> None:
    runner = CliRunner()
    good = runner.invoke(app, ["verify", str(dataset), "--all"])
    assert (good.exit_code, "intact; 24 objects of 3 shards by checksum, 6 samples by value" in good.output) == (
        0,
        True,
    )
    (dataset / "flow/c/1/0/0/0/0").unlink()
    bad = runner.invoke(app, ["verify", str(dataset)])
    assert bad.exit_code == 4
    assert "flow/c/1/0/0/0/0 (samples scene_002 to scene_003): is missing" in bad.output
    assert "--repair" in bad.output
    mended = runner.invoke(app, ["verify", str(dataset), "--repair"])
    assert "dropped shard 1" in mended.output
    assert "1 of 3 shards not made yet" in runner.invoke(app, ["verify", str(dataset)]).output


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="there is no dataset of fakeflow here"):
        check(tmp_path / "absent.zarr")


def test_flows_of_videos_are_checked_as_well(tmp_path: Path) -> None:
    dataset = FlowDataset(str(tmp_path / "flows.zarr"))
    dataset.begin({})
    for name in ("bear", "cats/two"):
        video = dataset.video(name)
        video.create(FlowLayout(3, 32, 40), {"fingerprint": "f"})
        flow = np.random.default_rng(0).integers(-99, 99, (3, 32, 40, 2)).astype(np.int16)
        write_shard(video, 0, {"flow": flow, "frame": np.array(["0", "1", "2"], object)}, [], "float32")
    result = check(dataset.url)
    assert result.is_whole
    assert (result.objects, result.shard_count) == (4, 2)
    path = tmp_path / "flows.zarr/cats/two/flow/c/0/0/0/0"
    flip_bit(path, np.random.default_rng(2))
    (finding,) = check(dataset.url).findings
    assert (finding.key, finding.shard) == ("cats/two/flow/c/0/0/0/0", 0)
    repair(dataset.url, check(dataset.url), print)
    assert dataset.video("cats/two").committed() == set()
    assert dataset.video("bear").committed() == {0}
    assert json.loads((tmp_path / "flows.zarr/zarr.json").read_text())["node_type"] == "group"
