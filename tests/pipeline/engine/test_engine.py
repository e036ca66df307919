"""Workers in this process and on a local Ray: errors, deaths, and a cluster that cannot be reached."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline import redaction
from pipeline.engine.placement import Placement, Share
from pipeline.engine.run_tasks import run_tasks
from pipeline.errors import PipelineError
from tests.conftest import ROOT
from tests.ray_cluster import free_port


def test_tasks_of_a_worker_that_dies_are_done_by_others(tmp_path: Path) -> None:
    died = tmp_path / "died"

    class Mortal:
        """Doubles numbers; dies at the number 2 the first time, and at any negative one."""

        def make(self, task: int) -> int:
            if task < 0 or (task == 2 and not died.exists()):
                died.touch()
                os._exit(1)
            return 2 * task

    def start(share: Share) -> Any:
        return Mortal()

    said: list[str] = []
    assert sorted(run_tasks(start, range(6), Placement(2, "cpu"), said.append)) == [0, 2, 4, 6, 8, 10]
    assert any("a worker was lost; its tasks go to others" in sentence for sentence in said)
    with pytest.raises(PipelineError, match="A worker could not be kept running"):
        list(run_tasks(start, [1, -1], Placement(1, "cpu"), said.append))


def test_an_error_at_the_start_of_a_worker_reaches_the_user(local_ray: None) -> None:
    def start(share: Share) -> Any:
        raise PipelineError("no weights")

    said: list[str] = []
    with pytest.raises(PipelineError, match=r"^no weights$"):
        list(run_tasks(start, [1], Placement(1, "cpu"), said.append))
    assert "a worker cannot start; machines must see the same folders and have the same fakeflow" in said


def test_a_worker_that_dies_at_its_start_is_not_replaced_for_ever(local_ray: None) -> None:
    def start(share: Share) -> Any:
        os._exit(1)

    with pytest.raises(PipelineError, match="A worker could not be kept running"):
        list(run_tasks(start, [1], Placement(1, "cpu"), lambda sentence: None))


EARLY = """
import sys, threading, time
from pipeline.engine.cluster import early_ray
from pipeline.engine.placement import Placement
from pipeline.engine.run_tasks import ask_worker, run_tasks

class Doubler:
    def make(self, task): return 2 * task

said, wish = [], Placement(1, "cpu")
try:
    with early_ray(wish) as started:
        began = time.monotonic()
        if sys.argv[1] == "error": raise ValueError("a mistake")
        assert ask_worker(lambda: 7, wish, started) == 7
        print(*run_tasks(lambda share: Doubler(), range(3), wish, said.append, started), *said)
except ValueError as error:
    print(error, time.monotonic() - began < 0.5)
    sys.exit()
import ray
print(ray.is_initialized(), [thread.name for thread in threading.enumerate() if thread.name == "ray"])
"""


def test_ray_starts_while_the_work_is_prepared_and_holds_up_no_error() -> None:
    def printed(case: str) -> str:
        command = [sys.executable, "-c", EARLY, case]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=True)
        assert done.stderr == ""
        return done.stdout

    assert printed("error") == "a mistake True\n"
    outcomes, after = printed("work").splitlines()
    assert outcomes.startswith("0 2 4 running on Ray: 1 node, 1 worker, each cpu")
    assert after == "False []"


STOPPED_ON_RAY = """
import signal
from pipeline.command.stopping import stopped_by_signals, take_all_time
from pipeline.engine.cluster import ray_session
with stopped_by_signals(), ray_session():
    try:
        signal.raise_signal(signal.SIGTERM)
    except KeyboardInterrupt:
        take_all_time()
        print("stopped")
"""


def test_a_process_on_ray_answers_sigterm_itself() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    words = [sys.executable, "-c", STOPPED_ON_RAY]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "stopped\n"
    assert "SIGTERM" not in done.stderr  # Ray's handler prints a stack


def test_a_worker_has_one_gpu_at_most() -> None:
    with pytest.raises(PipelineError, match="--gpus-per-worker 2; expected at most 1"):
        next(run_tasks(lambda share: None, [1], Placement(gpus_per_worker=2), print))  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("127.0.0.1:{free_port}", "No Ray cluster answers at 127.0.0.1:"),
        ("http://127.0.0.1:8265", "which is for `ray job submit --address http://127.0.0.1:8265"),
        ("nonsense", "Ray cannot be started or joined at nonsense (Invalid address format: nonsense)"),
    ],
)
def test_a_cluster_that_cannot_be_joined_is_said_in_a_sentence(address: str, sentence: str) -> None:
    code = "from pipeline.engine.cluster import ray_session\nfrom pipeline.errors import PipelineError\nimport sys\n"
    code += "try:\n with ray_session(): pass\nexcept PipelineError as error: sys.exit(str(error))"
    environment = {**os.environ, "RAY_ADDRESS": address.format(free_port=free_port())}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_a_worker_on_ray_prints_holds_no_password(local_ray: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private.worker import _global_node

    monkeypatch.setattr(redaction, "_remembered", set())
    redaction.remember("s3://me:hunter2hunter2@bucket/x")

    class Talker:
        """Prints what it is given."""

        def make(self, task: str) -> str:
            print(f"talker got {task}", flush=True)
            return redaction.redact(task)

    assert list(run_tasks(lambda share: Talker(), ["hunter2hunter2"], Placement(1, "cpu"), print)) == ["***"]
    logs = "".join(path.read_text() for path in Path(_global_node.get_logs_dir_path()).glob("worker-*.out"))
    assert "talker got ***" in logs
    assert "hunter2" not in logs
