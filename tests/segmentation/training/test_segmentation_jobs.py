"""`ray job submit -- segmentation flows | train | evaluate ...` on a head and two workers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from segmentation.prediction.evaluation import predict_and_score
from segmentation.prediction.settings import EvaluationSettings
from tests.pipeline.drawn_dataset import contents
from tests.ray_cluster import Jobs, started_cluster
from tests.segmentation.drawn_videos import draw_davis, save_small_network
from tests.segmentation.prediction.test_evaluation import hashes
from tests.segmentation.stand_in_raft import save_checkpoint
from tests.segmentation.training_runs import Watcher
from tests.segmentation.zarr_datasets import make_dataset

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def jobs() -> Iterator[Jobs]:
    with started_cluster({"num_cpus": 1}, {"num_cpus": 1}, with_jobs=True) as cluster:
        yield Jobs(cluster)


def test_flows_and_evaluate_give_what_they_give_in_process(jobs: Jobs, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "small.pth", "raft_small")
    network = save_small_network(tmp_path / "network")
    root = draw_davis(tmp_path / "DAVIS", first=4, second=5, third=3)
    settings = EvaluationSettings(
        dataset=(f"davis16={root}",),
        checkpoint=network,
        output=tmp_path / "here",
        raft=str(tmp_path / "small.pth"),
        raft_iterations=1,
        workers=0,
    )
    predict_and_score(settings, Watcher())

    flows = jobs.run(
        f"cd {tmp_path} && segmentation flows --dataset davis16 --root DAVIS --output flows.zarr --upscale",
        "--raft small.pth --raft-iterations 1",
    )
    assert flows.status == "SUCCEEDED", flows.log
    assert "running on Ray: 2 nodes, 2 workers, each cpu, 1 core\n" in flows.log
    assert "flow of 3 of 3 videos" in flows.log
    expected, made = contents(tmp_path / "here/flows/davis16.zarr"), contents(tmp_path / "flows.zarr")
    assert {name: hash for name, hash in made.items() if "/c/" in name} == {
        name: hash for name, hash in expected.items() if "/c/" in name
    }

    scored = jobs.run(
        f"cd {tmp_path} && segmentation evaluate --checkpoint network --dataset davis16=DAVIS --output there",
        "--raft small.pth --raft-iterations 1",
    )
    assert scored.status == "SUCCEEDED", scored.log
    assert hashes(tmp_path / "there/davis16") == hashes(tmp_path / "here/davis16")
    assert len(hashes(tmp_path / "there/davis16")) == 12
    assert "davis16" in json.loads((tmp_path / "there/scores.json").read_text())["datasets"]


TRAIN = "--encoder mit-b0 --initialization random --side-px 32 --batch-size 2 --samples-per-epoch 6 --validate-every 1"


def test_train_is_stopped_cleanly_and_continues(jobs: Jobs, tmp_path: Path) -> None:
    make_dataset(tmp_path / "photos.zarr")
    command = f"cd {tmp_path} && segmentation train --data photos.zarr --output run --workers 2 --epochs 20 {TRAIN}"
    metrics = tmp_path / "run/metrics.jsonl"
    job = jobs.submit(command, environment={"RAY_JOB_STOP_WAIT_TIME_S": "60"})
    jobs.wait_until(job, lambda: metrics.exists() and metrics.read_text().count("validation") >= 2)
    ended = jobs.stop(job)
    assert ended.status == "STOPPED"
    assert "training on Ray: 2 nodes, 2 workers, each cpu, 1 core\n" in ended.log
    assert "Stopped. What was learnt is saved; the same command with --resume continues." in ended.log
    assert "Traceback" not in ended.log
    assert "SIGTERM" not in ended.log  # nor the stack that Ray's handler prints
    assert not any((tmp_path / "run" / left).exists() for left in ("ray", "stop", "stopped"))
    assert metrics.read_text().count("validation") < 20

    other = jobs.run(command)
    assert (other.status, "exit code 1" in other.message) == ("FAILED", True)
    assert "error: " in other.log
    again = jobs.run(command, "--resume")
    assert again.status == "SUCCEEDED", again.log
    assert "the best" in again.log
    judged = [json.loads(line) for line in metrics.read_text().splitlines() if "validation" in line]
    assert [one["epoch"] for one in judged] == list(range(1, 21))
