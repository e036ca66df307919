"""`ray job submit -- pipeline run ...`: the same bytes as in-process, stopped and submitted again, and failures."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.dataset.store import DatasetStore
from pipeline.making.run import run
from tests.conftest import draw_duts
from tests.pipeline.drawn_dataset import contents
from tests.pipeline.making.test_run import Watcher, config
from tests.ray_cluster import BIN, Jobs, started_cluster

pytestmark = pytest.mark.slow
PHOTOS = 160
SMALL = ["--depth-model", "tiny-dpt", "--max-side", "96", "--samples-per-shard", "2", "--motion", "camera+object"]


@pytest.fixture(scope="module")
def jobs() -> Iterator[Jobs]:
    with started_cluster({"num_cpus": 1}, {"num_cpus": 1}, with_jobs=True) as cluster:
        yield Jobs(cluster)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_duts(tmp_path_factory.mktemp("photos") / "DUTS", PHOTOS)


@pytest.fixture(scope="module")
def undisturbed(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    output = tmp_path_factory.mktemp("undisturbed") / "here.zarr"
    run(config(photos, output), Watcher())
    return contents(output)


def test_the_command_as_the_readme_has_it(
    jobs: Jobs, photos: Path, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    output = tmp_path / "out.zarr"
    command = [BIN / "ray", "job", "submit", "--address", jobs.address, "--no-wait", "--submission-id", "mine", "--"]
    command += ["pipeline", "run", "--input", photos, "--output", output, *SMALL]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    ended = jobs.wait("mine")
    assert ended.status == "SUCCEEDED", ended.log
    assert contents(output) == undisturbed
    assert "running on Ray: 2 nodes, 2 workers, each cpu, 1 core\n" in ended.log
    assert f"{PHOTOS} of {PHOTOS} photos usable" in ended.log
    assert len(ended.log.splitlines()) < 30
    assert not re.search(r"\x1b|\r", ended.log)


def test_a_job_that_is_stopped_and_submitted_again(
    jobs: Jobs, photos: Path, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    command = ["cd", tmp_path, "&&", "pipeline run --input", photos, "--output out.zarr", *SMALL]
    output = tmp_path / "out.zarr"
    job = jobs.submit(*command)
    jobs.wait_until(job, lambda: len(list(output.glob(".fakeflow/commits/*.json"))) >= 6)
    ended = jobs.stop(job)
    assert ended.status == "STOPPED"
    assert "Stopped. Finished work stays; the same command continues." in ended.log
    assert "Traceback" not in ended.log
    done = DatasetStore.open(str(output)).committed()
    assert 6 <= len(done) < PHOTOS // 2
    again = jobs.run(*command)
    assert again.status == "SUCCEEDED", again.log
    assert re.search(rf"{2 * len(done)} photos are done already", again.log)
    assert contents(output) == undisturbed


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (["--input", "/nowhere"], 1, "error: the folder /nowhere does not exist"),
        (["--workers", "3"], 1, "error: 3 workers with at least 1 core each do not fit: 2 nodes of 1 core have "),
        (["--device", "cuda"], 1, "error: --device cuda, but Ray sees no GPU: 2 nodes of 1 core."),
    ],
)  # fmt: skip
def test_a_job_that_cannot_run_fails_with_a_sentence(
    jobs: Jobs, photos: Path, tmp_path: Path, options: list[str], code: int, sentence: str
) -> None:
    ended = jobs.run("pipeline run --input", photos, "--output", tmp_path / "out.zarr", *SMALL, *options)
    assert (ended.status, f"exit code {code}" in ended.message) == ("FAILED", True)
    assert sentence in ended.log
    assert "Traceback" not in ended.log


def test_a_job_with_too_many_failures_fails_with_its_own_exit_code(jobs: Jobs, tmp_path: Path) -> None:
    photos = draw_duts(tmp_path / "DUTS", 3)
    next((photos / "DUTS-TR/DUTS-TR-Image").iterdir()).write_bytes(b"no photo")
    ended = jobs.run("pipeline run --input", photos, "--output", tmp_path / "out.zarr", *SMALL)
    assert (ended.status, "exit code 3" in ended.message) == ("FAILED", True)
    assert "1 photo failed; --max-failures allows 0." in ended.log
