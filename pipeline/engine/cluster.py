"""The Ray cluster of a process: joined or started, with one sentence if that fails."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline.engine.placement import Node, Placement
from pipeline.errors import PipelineError

SECONDS_TO_ANSWER = 5.0


@contextmanager
def ray_session() -> Iterator[None]:
    """Join the cluster of this process or of `RAY_ADDRESS` (set for jobs); otherwise, start and stop a local one.

    Raises:
        PipelineError: nothing answers at the address, the cluster has another version of Ray or Python, or Ray cannot
            be started.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    if ray.is_initialized():
        yield
        return
    address = os.environ.get("RAY_ADDRESS") or "local"
    _check_address(address)
    options: dict[str, Any] = (
        {"include_dashboard": False} if address == "local" else {}
    )  # only valid for a cluster that is started here
    try:
        with _sigterm_kept():
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
    try:
        yield
    finally:
        ray.shutdown()


def needs_ray(placement: Placement) -> bool:
    """Return whether tasks run on Ray: if workers or a cluster are asked for, or this machine has several GPUs.

    Anything else runs in this process, where Ray would only cost the time of its start.
    """
    if placement.workers is not None or placement.gpus_per_worker is not None:
        return placement.workers != 0
    if os.environ.get("RAY_ADDRESS") or _is_joined():
        return True
    import torch

    return placement.device != "cpu" and torch.cuda.device_count() > 1


def _is_joined() -> bool:
    """Return whether this process is part of a cluster already."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


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


@contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Restore the command's handler of SIGTERM, which Ray replaces."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if callable(before) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)
