"""`pipeline run` on a Ray cluster of separate raylets: nodes that die or join, drivers killed, GPUs, misfits."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

from depth.model_files import EMBEDDED_FOLDER, find_model
from pipeline.dataset.store import DatasetStore
from pipeline.engine.placement import Placement, Share
from pipeline.engine.run_tasks import run_tasks
from pipeline.making.run import run
from tests.conftest import ROOT, draw_duts
from tests.pipeline.drawn_dataset import contents
from tests.pipeline.making.test_run import Watcher, config
from tests.ray_cluster import started_cluster

pytestmark = pytest.mark.slow
PHOTOS = 240


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Start a head that takes no work."""
    with started_cluster() as started:
        yield started


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    run(config(draw_duts(folder / "DUTS", PHOTOS), folder / "undisturbed.zarr"), Watcher())
    return folder


def start_driver(
    cluster: Any, folder: Path, output: Path, *python: str, depth_model: str = "tiny-dpt", **environment: str
) -> subprocess.Popen[str]:
    command = [sys.executable, *(python or ("-m", "pipeline.cli"))]
    command += ["run", "--input", str(folder / "DUTS"), "--output", str(output)]
    command += [
        "--depth-model",
        depth_model,
        "--max-side",
        "96",
        "--samples-per-shard",
        "2",
        "--motion",
        "camera+object",
    ]
    everything = {**os.environ, "RAY_ADDRESS": cluster.address, **environment}
    return subprocess.Popen(command, cwd=ROOT, env=everything, stderr=subprocess.PIPE, text=True)


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


@pytest.mark.ci
def test_a_node_that_dies_and_one_that_joins(cluster: Any, undisturbed: Path, tmp_path: Path) -> None:
    _, dies = (cluster.add_node(num_cpus=1) for _ in range(2))
    output = tmp_path / "out.zarr"
    driver = start_driver(cluster, undisturbed, output)
    wait_for_shards(output, 6, driver)
    cluster.remove_node(dies, allow_graceful=False)
    wait_for_shards(output, 30, driver)
    cluster.add_node(num_cpus=1)
    errors = finish(driver, undisturbed, output)
    assert "running on Ray: 2 nodes, 2 workers, each cpu, 1 core\n" in errors
    assert "a worker was lost; its tasks go to others" in errors
    assert "1 more worker for machines that joined or came back" in errors


@pytest.mark.parametrize(("gpus_per_worker", "sharing"), [(None, 1), (0.5, 2)])
def test_each_worker_has_a_gpu_or_its_part(
    cluster: Any, monkeypatch: pytest.MonkeyPatch, gpus_per_worker: float | None, sharing: int
) -> None:
    cluster.add_node(num_cpus=4, num_gpus=2, resources={"accelerator_type:A10G": 1})  # GPUs by what Ray is told
    cluster.add_node(num_cpus=2, num_gpus=1, resources={"accelerator_type:A10G": 1})
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)

    class Teller:
        """Tells which worker it is, on which node, and which GPU it sees."""

        def make(self, task: int) -> tuple[str, str, int]:
            import ray

            time.sleep(0.05)
            return ray.get_runtime_context().get_node_id(), os.environ["CUDA_VISIBLE_DEVICES"], os.getpid()

    def start(share: Share) -> Any:
        assert (share.device, share.gpus) == ("cuda", gpus_per_worker or 1)
        return Teller()

    said: list[str] = []
    seen: set[tuple[str, str, int]] = set()
    with closing(run_tasks(start, range(20_000), Placement(gpus_per_worker=gpus_per_worker), said.append)) as reports:
        for report in reports:
            seen.add(report)
            if len(seen) == 3 * sharing:
                break
    by_gpu = Counter((node, device) for node, device, _ in seen)
    assert sorted(device for _, device in by_gpu) == ["0", "0", "1"]
    assert set(by_gpu.values()) == {sharing}
    part = f"{gpus_per_worker or 1:g} GPU (A10G)"
    assert f"running on Ray: 2 nodes, {3 * sharing} workers, each cuda, {2 // sharing} core" in said[-1]
    assert said[-1].endswith(part)


def test_a_gpu_that_torch_does_not_see(cluster: Any, undisturbed: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("torch sees a GPU here")
    cluster.add_node(num_cpus=1, num_gpus=1)
    errors = start_driver(cluster, undisturbed, tmp_path / "out.zarr").communicate(timeout=200)[1]
    assert "has a GPU by what Ray says, but torch" in errors.splitlines()[-1]
    assert "or use --device cpu." in errors.splitlines()[-1]
    assert "Traceback" not in errors


def test_photos_that_a_worker_does_not_see_are_no_failures(cluster: Any, undisturbed: Path, tmp_path: Path) -> None:
    cluster.add_node(num_cpus=1)
    photos = tmp_path / "DUTS"
    shutil.copytree(undisturbed / "DUTS", photos)
    output = tmp_path / "out.zarr"
    driver = start_driver(cluster, tmp_path, output)
    while not (output / "zarr.json").exists():
        assert driver.poll() is None
        time.sleep(0.01)
    photos.rename(tmp_path / "elsewhere")  # before the worker starts: to it, they are not there
    errors = driver.communicate(timeout=200)[1]
    assert driver.returncode == 1
    assert "DUTS does not exist on" in errors
    assert not DatasetStore.open(str(output)).committed()


def test_a_cluster_of_another_version_is_refused(cluster: Any, undisturbed: Path, tmp_path: Path) -> None:
    as_older = "import ray, sys; ray.__version__ = '2.40.0'; from pipeline.cli import main; main()"
    errors = start_driver(cluster, undisturbed, tmp_path / "out.zarr", "-c", as_older).communicate(timeout=100)[1]
    assert "error: The cluster at" in errors.splitlines()[-1]
    assert "Ray: 2.40.0" in errors.splitlines()[-1]
    assert "Install the same versions of Ray and Python here and there." in errors


def test_a_cluster_without_workers(cluster: Any, undisturbed: Path, tmp_path: Path) -> None:
    errors = start_driver(cluster, undisturbed, tmp_path / "out.zarr").communicate(timeout=100)[1]
    assert "error: No machine of the cluster takes work: 1 node of 0 cores. Start machines" in errors


def test_a_head_coordinates_without_torch_and_without_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_duts(tmp_path / "DUTS", 3)
    repository, commit = tmp_path / "hub/models--someone--tiny", "0" * 40
    shutil.copytree(EMBEDDED_FOLDER, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text(commit)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(repository.parent))  # of the nodes
    without_torch = "import sys; sys.modules['torch'] = None; from pipeline.cli import main; main()"
    output = tmp_path / "out.zarr"
    with started_cluster({"num_cpus": 1}) as cluster:
        here = {"depth_model": "someone/tiny", "HF_HUB_CACHE": str(tmp_path / "empty")}
        driver = start_driver(cluster, tmp_path, output, "-c", without_torch, **here)
        errors = driver.communicate(timeout=400)[1]
    assert driver.returncode == 0, errors
    identity = DatasetStore.open(str(output)).attributes["settings"]["depth"]
    assert identity["sha256"] == find_model("tiny-dpt").describe()["sha256"]


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
