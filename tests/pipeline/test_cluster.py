"""`pipeline run` on a Ray cluster of separate raylets: nodes that die, nodes that join, a driver that is killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.run import run
from pipeline.store import DatasetStore
from tests.conftest import ROOT, draw_duts
from tests.pipeline.drawn_dataset import contents
from tests.pipeline.test_run import Watcher, config

pytestmark = pytest.mark.slow
PHOTOS = 240


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Start a head that takes no work."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    yield started
    started.shutdown()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    run(config(draw_duts(folder / "DUTS", PHOTOS), folder / "undisturbed.zarr"), Watcher())
    return folder


def start_driver(cluster: Any, folder: Path, output: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pipeline.cli", "run", "--input", str(folder / "DUTS"), "--output", str(output)]
    command += [
        "--depth-model",
        "tiny-dpt",
        "--max-side",
        "96",
        "--samples-per-shard",
        "2",
        "--motion",
        "camera+object",
    ]
    environment = {**os.environ, "RAY_ADDRESS": cluster.address, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def wait_for_shards(output: Path, shards: int, driver: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 180
    while len(list(output.glob(".fakeflow/commits/*.json"))) < shards:
        assert driver.poll() is None, driver.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def finish(driver: subprocess.Popen[str], undisturbed: Path, output: Path) -> str:
    errors = driver.communicate(timeout=400)[1]
    assert driver.returncode == 0, errors
    assert contents(output) == contents(undisturbed / "undisturbed.zarr")
    return errors


def test_a_node_that_dies_and_one_that_joins(cluster: Any, undisturbed: Path, tmp_path: Path) -> None:
    _, dies = (cluster.add_node(num_cpus=1) for _ in range(2))
    output = tmp_path / "out.zarr"
    driver = start_driver(cluster, undisturbed, output)
    wait_for_shards(output, 6, driver)
    cluster.remove_node(dies, allow_graceful=False)
    wait_for_shards(output, 30, driver)
    cluster.add_node(num_cpus=1)
    errors = finish(driver, undisturbed, output)
    assert "2 node(s), 2 worker(s), each cpu, 1 cores" in errors
    assert "a worker was lost; its tasks go to others" in errors
    assert "1 more worker(s) for machines that joined or came back" in errors


def test_a_driver_that_is_killed_and_submitted_again(cluster: Any, undisturbed: Path, tmp_path: Path) -> None:
    cluster.add_node(num_cpus=1)
    output = tmp_path / "out.zarr"
    driver = start_driver(cluster, undisturbed, output)
    wait_for_shards(output, 6, driver)
    driver.kill()
    driver.communicate()
    done = DatasetStore.open(str(output)).committed()
    assert 6 <= len(done) < PHOTOS // 2
    finish(start_driver(cluster, undisturbed, output), undisturbed, output)
