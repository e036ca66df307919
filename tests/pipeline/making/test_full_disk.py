"""A disk that really fills up in the middle of a run."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.checking.verify import verify
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from pipeline.making.config import RunConfig
from pipeline.making.run import run
from tests.conftest import MakeDuts
from tests.pipeline.checking.damage import Silent
from tests.pipeline.drawn_dataset import contents
from tests.pipeline.making.test_run import Watcher


def mount(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of its own with little room."""
    place = tmp_path / "disk"
    place.mkdir()
    try:
        done = mount("-t", "tmpfs", "-o", "size=400k", "tmpfs", str(place))
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if done.returncode:
        pytest.skip(f"mounting a small tmpfs is not allowed here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.slow
@pytest.mark.ci
def test_a_run_on_a_full_disk_says_so_and_continues_when_there_is_room(
    make_duts: MakeDuts, small_disk: Path, tmp_path: Path
) -> None:
    root = str(make_duts(20))
    settings = {"depth_model": "tiny-dpt", "max_side": 96, "samples_per_shard": 2, "workers": 0, "input": root}
    output = small_disk / "x.zarr"
    with pytest.raises(PipelineError, match=r"no space left. Make room and run the same command again"):
        run(RunConfig(output=str(output), **settings), Watcher())  # type: ignore[arg-type]
    done = DatasetStore.open(str(output)).committed()
    assert 0 < len(done) < 10
    assert not verify(str(output), Silent()).findings
    assert not list(output.rglob("*.partial"))
    assert mount("-o", "remount,size=64m", str(small_disk)).returncode == 0
    summary = run(RunConfig(output=str(output), **settings), Watcher())  # type: ignore[arg-type]
    assert summary.photos_made_now == 20 - 2 * len(done)
    run(RunConfig(output=str(tmp_path / "roomy.zarr"), **settings), Watcher())  # type: ignore[arg-type]
    assert contents(output) == contents(tmp_path / "roomy.zarr")
