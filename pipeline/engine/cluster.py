"""The Ray cluster of a process: joined or started, with one sentence if that fails."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline.command.stopping import take_back_signals
from pipeline.engine.placement import Node, Placement
from pipeline.errors import PipelineError

SECONDS_TO_ANSWER = 5.0


class RayStart:
    """Ray of this process, joined or started by a thread of its own while the caller does something else.

    It joins the cluster of this process or of `RAY_ADDRESS` (set for jobs); otherwise, it starts a local Ray and stops
    it in the end. The thread lives until then: Linux kills the processes of Ray with the thread that started them.
    """

    def __init__(self) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        self._error: BaseException | None = None
        # Events, because a Thread.join() that Ctrl-C interrupts takes a running thread for ended (Python before 3.13).
        self._has_answered, self._is_over, self._is_gone = threading.Event(), threading.Event(), threading.Event()
        threading.Thread(target=self._live, name="ray").start()

    def wait(self) -> None:
        """Wait until Ray is there.

        Raises:
            PipelineError: nothing answers at the address, the cluster has another version of Ray or Python, or Ray
                cannot be started.
        """
        self._has_answered.wait()
        take_back_signals()
        if self._error is not None:
            raise self._error

    def end(self) -> None:
        """Leave or stop Ray, and wait until this is done."""
        self.abandon()
        self._is_gone.wait()

    def abandon(self) -> None:
        """Leave or stop Ray without waiting; the process does not end before this is done."""
        self._is_over.set()

    def _live(self) -> None:
        is_ours = False
        try:
            import ray

            is_ours = not ray.is_initialized()
            if is_ours and not self._is_over.is_set():
                _join_or_start(os.environ.get("RAY_ADDRESS") or "local")
        except BaseException as error:  # raised where Ray is waited for
            self._error = error
        self._has_answered.set()
        self._is_over.wait()
        if is_ours and self._error is None:
            ray.shutdown()
        self._is_gone.set()


@contextmanager
def ray_session(started: RayStart | None = None) -> Iterator[None]:
    """Have Ray in this process.

    Args:
        started: a Ray that is being started, and that the caller ends; None = start or join one for this session.

    Raises:
        PipelineError: as of `RayStart.wait`.
    """
    if started is not None:
        started.wait()
        yield
        return
    started = RayStart()
    try:
        started.wait()
        yield
    finally:
        started.end()


@contextmanager
def early_ray(placement: Placement) -> Iterator[RayStart | None]:
    """Begin to start Ray if it is asked for, while the work is being prepared; give None if it is not.

    If the preparation fails, its error is not held up by Ray.
    """
    if not asks_for_ray(placement):
        yield None
        return
    started = RayStart()
    try:
        yield started
    except BaseException:
        started.abandon()
        raise
    started.end()


def _join_or_start(address: str) -> None:
    import ray

    _check_address(address)
    options: dict[str, Any] = (
        {"include_dashboard": False} if address == "local" else {}
    )  # only valid for a cluster that is started here
    logging.getLogger("ray").setLevel(logging.ERROR)  # it would warn that only the main thread can handle signals
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except Exception as error:  # Ray's errors share no base class
        reason = " ".join(str(error).split()).rstrip(".")
        if "ersion mismatch" in reason:
            raise PipelineError(
                f"The cluster at {address} runs other versions: {reason}. Install the same versions of Ray and Python "
                "here and there."
            ) from None
        raise PipelineError(
            f"Ray cannot be started or joined at {address} ({reason}). "
            "Check RAY_ADDRESS, or run without Ray: --workers 0."
        ) from None


def asks_for_ray(placement: Placement) -> bool:
    """Return whether tasks run on Ray whatever this machine has: workers or a cluster are asked for."""
    if placement.workers is not None or placement.gpus_per_worker is not None:
        return placement.workers != 0
    return is_on_cluster()


def needs_ray(placement: Placement) -> bool:
    """Return whether tasks run on Ray: if workers or a cluster are asked for, or this machine has several GPUs.

    Anything else runs in this process, where Ray would only cost the time of its start.
    """
    if asks_for_ray(placement):
        return True
    if placement.workers == 0 or placement.device == "cpu":
        return False
    import torch

    return torch.cuda.device_count() > 1


def is_on_cluster() -> bool:
    """Return whether this process belongs to a cluster, whose machines may have other files than this one."""
    is_initialized = getattr(sys.modules.get("ray"), "is_initialized", None)  # which it lacks while it is imported
    return bool(os.environ.get("RAY_ADDRESS")) or (is_initialized is not None and bool(is_initialized()))


def live_nodes() -> list[Node]:
    """Return the cores and GPUs of the live machines of the cluster."""
    import ray

    nodes = []
    for resources in (node["Resources"] for node in ray.nodes() if node["Alive"]):
        kinds = (name.partition(":")[2] for name in resources if name.startswith("accelerator_type:"))
        nodes.append(Node(int(resources.get("CPU", 0)), int(resources.get("GPU", 0)), next(kinds, "")))
    return nodes


def go_to(folder: Path) -> None:
    """Change to the folder of the command, if this machine has it, so that relative paths mean the same."""
    with suppress(OSError):
        os.chdir(folder)


def _check_address(address: str) -> None:
    """Raise if nothing listens at an address; Ray itself would wait for minutes.

    Raises:
        PipelineError: the message says what to do.
    """
    if address.startswith(("http://", "https://")):
        raise PipelineError(
            f"RAY_ADDRESS is {address}, which is for `ray job submit --address {address} -- ...`. Run the command in "
            "such a job, or set RAY_ADDRESS to the head's own address, such as 10.0.0.1:6379."
        )
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), SECONDS_TO_ANSWER).close()
    except (OSError, OverflowError) as error:
        raise PipelineError(
            f"No Ray cluster answers at {address} ({error}). Check RAY_ADDRESS and the network; without RAY_ADDRESS a "
            "local Ray is used, with --workers 0 none."
        ) from None
