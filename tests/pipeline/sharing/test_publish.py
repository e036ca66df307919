"""`pipeline publish` and `status`: a verified copy that readers see only when it is complete."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import xarray
import zarr
from typer.testing import CliRunner

from pipeline.checking.repair import repair
from pipeline.checking.verify import verify
from pipeline.commands import app
from pipeline.dataset.sharded_store import COPYING
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from pipeline.sharing.publish import publish
from pipeline.showing.status import describe
from segmentation.data.photo_samples import ShardDataset
from segmentation.errors import DatasetError
from tests.pipeline.checking.damage import SPOIL, Silent
from tests.pipeline.drawn_dataset import contents, draw_shard, make_dataset


class Stop(BaseException):
    """Stand-in for the Ctrl-C of a user."""


class StopAfter(Silent):
    """Stop the publishing after some files were copied."""

    def __init__(self, files: int) -> None:
        self.files = files
        self.is_copying = False

    def announce(self, sentence: str) -> None:
        self.is_copying |= sentence.startswith("copying")

    def update(self, to_do: int, done: int, failed: int) -> None:
        if self.is_copying and done >= self.files:
            raise Stop


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    make_dataset(str(tmp_path / "x.zarr"))
    return tmp_path / "x.zarr"


def test_the_copy_is_whole_readable_and_describes_itself(dataset: Path, tmp_path: Path) -> None:
    target = tmp_path / "published"
    summary = publish(str(dataset), str(target), Silent())
    assert summary.files == summary.copied == len(contents(dataset)) + 5
    assert contents(dataset).items() <= contents(target).items()
    assert verify(str(target), Silent(), all_rows=True).is_whole
    opened = xarray.open_zarr(str(target), consolidated=True)
    assert opened["flow"].shape == (6, 1, 40, 40, 2)
    card = (target / "README.md").read_text()
    assert "| photos | 6: 5 usable, 1 failed |" in card
    assert "| `flow` | 6, 1, 40, 40, 2 | int16 / 64 | pixel |" in card
    for word in ("license: other", "(preview.png)", "drawn", "2407.11714", "manifest.json"):
        assert word in card
    assert (target / "preview.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    "key",
    ["README.md", "preview.png", "preview.parquet", "croissant.json", "manifest.json", "flow/c/0/0/0/0/0", "zarr.json"],
)
def test_damage_on_the_other_side_is_found_and_mended_by_the_same_command(
    dataset: Path, tmp_path: Path, key: str
) -> None:
    target = tmp_path / "published"
    publish(str(dataset), str(target), Silent())
    whole = contents(target)
    content = bytearray((target / key).read_bytes())
    content[len(content) // 2] ^= 1
    (target / key).write_bytes(content)
    assert {finding.key for finding in verify(str(target), Silent()).findings} == {key}
    if key == "zarr.json":
        (target / key).unlink()
    assert publish(str(dataset), str(target), Silent()).copied == (2 if key != "zarr.json" else 1)
    assert contents(target) == whole


def test_the_same_command_again_copies_nothing_and_hides_nothing(dataset: Path, tmp_path: Path) -> None:
    target = tmp_path / "published"
    publish(str(dataset), str(target), Silent())
    before = (target / "zarr.json").stat().st_mtime_ns
    assert publish(str(dataset), str(target), Silent()).copied == 0
    assert (target / "zarr.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("files", [1, 12, 30])
def test_half_published_is_not_there_for_readers_and_continues(dataset: Path, tmp_path: Path, files: int) -> None:
    target = tmp_path / "published"
    with pytest.raises(Stop):
        publish(str(dataset), str(target), StopAfter(files))
    (target / "image/c/0/0/0/.0123.partial").write_bytes(b"of a copy that was killed")
    with pytest.raises(FileNotFoundError):
        zarr.open_group(str(target), mode="r")
    sentence = "published is an unfinished copy of a dataset. Run the same `pipeline publish` again: it goes on"
    for read in (DatasetStore.open, describe, lambda url: verify(url, Silent()), lambda url: ShardDataset(url)):
        with pytest.raises((PipelineError, DatasetError), match=sentence):
            read(str(target))
    there = len([path for path in target.rglob("*") if path.is_file()]) - 2  # but the mark and the killed copy's
    summary = publish(str(dataset), str(target), Silent())
    assert summary.copied == summary.files - there
    assert verify(str(target), Silent()).is_whole
    assert not (target / COPYING).exists()


def test_a_changed_dataset_hides_the_published_one_until_it_is_whole_again(dataset: Path, tmp_path: Path) -> None:
    target = tmp_path / "published"
    publish(str(dataset), str(target), Silent())
    draw_shard(DatasetStore.open(str(dataset)), 1, failed_row=2)
    with pytest.raises(Stop):
        publish(str(dataset), str(target), StopAfter(25))
    assert not (target / "zarr.json").exists()
    publish(str(dataset), str(target), Silent())
    assert verify(str(target), Silent(), all_rows=True).is_whole


def test_a_damaged_dataset_is_not_published(dataset: Path, tmp_path: Path) -> None:
    SPOIL["truncated object"][0](dataset)
    with pytest.raises(PipelineError, match=r"x.zarr is damaged \(mask/c/0/0/0: has other bytes"):
        publish(str(dataset), str(tmp_path / "published"), Silent())
    assert not (tmp_path / "published").exists()


def test_an_incomplete_dataset_is_not_published(tmp_path: Path) -> None:
    make_dataset(str(tmp_path / "x.zarr"), without_shard=2)
    with pytest.raises(PipelineError, match="1 of 3 shards are not made"):
        publish(str(tmp_path / "x.zarr"), str(tmp_path / "published"), Silent())


def test_other_files_and_other_datasets_are_left_alone(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/thesis.txt").write_text("mine")
    with pytest.raises(PipelineError, match=r"holds other files \(thesis.txt"):
        publish(str(dataset), str(tmp_path / "home"), Silent())
    make_dataset(str(tmp_path / "other.zarr"), samples=4)
    with pytest.raises(PipelineError, match="holds another dataset"):
        publish(str(tmp_path / "other.zarr"), str(shutil.copytree(dataset, tmp_path / "copy")), Silent())


@pytest.mark.parametrize("place", ["x.zarr/copy", "x.zarr", "."])
def test_a_dataset_is_not_published_into_itself_or_around_itself(dataset: Path, tmp_path: Path, place: str) -> None:
    before = contents(dataset)
    with pytest.raises(PipelineError, match="are the same place, or one lies in the other"):
        publish(str(dataset), str(tmp_path / place), Silent())
    assert contents(dataset) == before


class Meanwhile(Silent):
    """Publish something else to the same place while copying goes on."""

    def __init__(self, source: Path, target: str) -> None:
        self.source, self.target = source, target
        self.is_copying = False
        self.refusal = ""

    def announce(self, sentence: str) -> None:
        self.is_copying |= sentence.startswith("copying")

    def update(self, to_do: int, done: int, failed: int) -> None:
        if self.is_copying and not self.refusal and done > 8:
            with pytest.raises(PipelineError) as refused:
                publish(str(self.source), self.target, Silent())
            self.refusal = str(refused.value)


@pytest.mark.parametrize("is_same", [True, False], ids=["same dataset", "another dataset"])
def test_two_publishes_to_one_place_at_once_do_not_mix(dataset: Path, tmp_path: Path, is_same: bool) -> None:
    target = tmp_path / "published"
    other = dataset if is_same else Path(make_dataset(str(tmp_path / "other.zarr"), failed_row=2).url)
    watcher = Meanwhile(other, str(target))
    publish(str(dataset), str(target), watcher)
    assert watcher.refusal == f"Another run is writing {target}. Wait for it, or choose another place."
    assert contents(dataset).items() <= contents(target).items()
    assert verify(str(target), Silent(), all_rows=True).is_whole


def test_no_lock_and_no_empty_folder_stay_behind(dataset: Path, tmp_path: Path) -> None:
    target = tmp_path / "published"
    publish(str(dataset), str(target), Silent())
    before = sorted(target.rglob("*"))
    (target / "flow/c/0/0/0/0/0").unlink()
    repair(str(target), verify(str(target), Silent()), print)
    publish(str(dataset), str(target), Silent())
    assert sorted(target.rglob("*")) == before
    assert not (target / ".fakeflow/lock").exists()
    (tmp_path / "home").mkdir()
    (tmp_path / "home/thesis.txt").write_text("mine")
    with pytest.raises(PipelineError, match="holds other files"):
        publish(str(dataset), str(tmp_path / "home"), Silent())
    assert [path.name for path in (tmp_path / "home").rglob("*")] == ["thesis.txt"]


def test_status_fits_on_one_screen(dataset: Path, tmp_path: Path) -> None:
    publish(str(dataset), str(tmp_path / "published"), Silent())
    for place, published in ((dataset, "no"), (tmp_path / "published", "yes, with a manifest")):
        text = describe(str(place))
        assert len(text.splitlines()) <= 24
        assert max(map(len, text.splitlines())) <= 120
        for words in ("6 of 6: 5 usable, 1 failed", "1 per sample", "camera+object, seed 5", "int16 / 64", published):
            assert words in text


def test_commands(dataset: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    done = runner.invoke(app, ["publish", str(dataset), str(tmp_path / "published")])
    assert done.exit_code == 0
    assert f"pipeline verify {tmp_path / 'published'}" in done.output
    said = [runner.invoke(app, [name, str(tmp_path / "published")]).output for name in ("status", "info")]
    assert "drawn" in said[0]
    assert said[0] == said[1]
