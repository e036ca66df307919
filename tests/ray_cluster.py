"""A Ray cluster of separate raylets on this machine: a head that takes no work, workers, and jobs submitted to it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import ROOT

BIN = Path(sys.executable).parent
ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "OMP_NUM_THREADS": "1",
    "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",  # our commands, as in the container image
    "PYTHONPATH": str(ROOT),
}
"""Of the raylets, and so of workers and jobs."""


def free_port() -> int:
    """Return a port that nothing listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextmanager
def started_cluster(*nodes: dict[str, Any], with_jobs: bool = False) -> Iterator[Any]:
    """Start a head without cores and a raylet for each of `nodes`, arguments of `Cluster.add_node`."""
    import ray
    from ray.cluster_utils import Cluster

    ray.shutdown()  # what other tests of this process may have joined
    before = dict(os.environ)
    os.environ.pop("RAY_ADDRESS", None)
    os.environ.update(ENVIRONMENT)
    # A Ray that another test has started may hold the port at which jobs are taken by default.
    ports = {"dashboard_port": 0, "dashboard_agent_listen_port": free_port()}
    dashboard = {"include_dashboard": True, **ports} if with_jobs else {}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **dashboard})
    try:
        for node in nodes:
            cluster.add_node(**node)
        yield cluster
    finally:
        cluster.shutdown()
        os.environ.clear()
        os.environ.update(before)


@dataclass(frozen=True)
class Ended:
    """End of a job: `SUCCEEDED`, `FAILED` or `STOPPED`, the message of Ray, and the output of the job."""

    status: str
    message: str
    log: str


class Jobs:
    """Submits jobs to a cluster, in the way of the command `ray job submit`."""

    def __init__(self, cluster: Any) -> None:
        from ray.job_submission import JobSubmissionClient

        self.address = f"http://{cluster.head_node.webui_url}"
        self._client = JobSubmissionClient(self.address)

    def submit(self, *command: object, environment: dict[str, str] | None = None) -> str:
        """Submit a job; return its id."""
        entrypoint = " ".join(map(str, command))
        return str(self._client.submit_job(entrypoint=entrypoint, runtime_env={"env_vars": environment or {}}))

    def run(self, *command: object, timeout_s: float = 300) -> Ended:
        """Submit a job and wait for its end."""
        return self.wait(self.submit(*command), timeout_s)

    def wait(self, job: str, timeout_s: float = 300) -> Ended:
        """Wait for the end of a job."""
        self.wait_until(job, lambda: False, timeout_s)
        info = self._client.get_job_info(job)
        return Ended(str(info.status), str(info.message), self._client.get_job_logs(job))

    def wait_until(self, job: str, is_reached: Callable[[], bool], timeout_s: float = 300) -> None:
        """Wait until something is reached, or the job is at its end."""
        deadline = time.monotonic() + timeout_s
        while not (is_reached() or self._client.get_job_status(job).is_terminal()):
            assert time.monotonic() < deadline, self._client.get_job_logs(job)
            time.sleep(0.1)

    def stop(self, job: str) -> Ended:
        """Stop a job by `ray job stop`."""
        stop = [BIN / "ray", "job", "stop", "--address", self.address, job]
        subprocess.run(stop, check=True, capture_output=True, timeout=60)
        return self.wait(job)
