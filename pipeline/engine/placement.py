"""Division of machines among workers: the user's wishes, the machines, and the share of each worker."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.errors import PipelineError


@dataclass(frozen=True)
class Placement:
    """Wishes of the user about the machines that tasks run on.

    Attributes:
        workers: number of workers on Ray; 0 = in this process; None = on a cluster or with several GPUs one worker per
            GPU (or share of one), or per machine if there is no GPU, and otherwise in this process.
        device: `auto`, `cpu` or `cuda`.
        gpus_per_worker: share of a GPU that each worker gets, such as 0.5 if two share one; None = 1.

    Raises:
        PipelineError: the wishes contradict each other.
    """

    workers: int | None = None
    device: str = "auto"
    gpus_per_worker: float | None = None

    def __post_init__(self) -> None:
        if self.gpus_per_worker is None:
            return
        if self.gpus_per_worker <= 0:
            raise PipelineError(f"--gpus-per-worker {self.gpus_per_worker}; expected more than 0.")
        if self.workers == 0 or self.device == "cpu":
            other = "--workers 0" if self.workers == 0 else "--device cpu"
            raise PipelineError(f"--gpus-per-worker divides GPUs among workers on Ray; leave it or {other} out.")


@dataclass(frozen=True)
class Share:
    """Share of one worker: its device (`cpu` or `cuda`), its number of processor cores, and its share of a GPU."""

    device: str
    cpus: int
    gpus: float = 0.0

    @property
    def tasks_in_flight(self) -> int:
        """Number of tasks that a worker overlaps: while one is on the GPU, others decode and write; 1 without a GPU."""
        return 1 if self.device == "cpu" else max(3, self.cpus)

    def set_up_torch(self) -> None:
        """Keep torch to this share, in the worker's process.

        Raises:
            PipelineError: torch does not see the GPU.
        """
        import socket

        import torch

        if self.device == "cpu":
            torch.set_num_threads(self.cpus)
        elif not torch.cuda.is_available():
            raise PipelineError(
                f"{socket.gethostname()} has a GPU by what Ray says, but torch {torch.__version__} sees none there. "
                "Install a torch build and a driver that fit the GPU, or use --device cpu."
            )


@dataclass(frozen=True)
class Node:
    """Cores and GPUs of a machine of a cluster; `gpu_kind` is a name such as A10G, empty if it is not known."""

    cpus: int
    gpus: int
    gpu_kind: str = ""


def local_share(device: str) -> Share:
    """Return this whole machine as one worker's share.

    Raises:
        PipelineError: `cuda` is asked for, but there is no GPU.
    """
    import torch

    has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise PipelineError(
            "--device cuda: torch sees no GPU here. Use --device cpu, or install a torch build for your GPU."
        )
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Share("cuda", cpus, 1) if has_gpu and device != "cpu" else Share("cpu", cpus)


def plan_workers(nodes: Sequence[Node], placement: Placement) -> tuple[Share, int]:
    """Divide a cluster into equal workers with as many cores as fit.

    Args:
        nodes: the live machines; those without a core are ignored.
        placement: wishes of the user; `workers` is not 0.

    Returns:
        The share of each worker, and the number of workers.

    Raises:
        PipelineError: there are too few GPUs or cores.
    """
    has_gpus = any(node.gpus for node in nodes)
    use_gpu = placement.device == "cuda" or placement.gpus_per_worker is not None
    if use_gpu and not has_gpus:
        asked = "--device cuda" if placement.device == "cuda" else f"--gpus-per-worker {placement.gpus_per_worker}"
        raise PipelineError(
            f"{asked}, but Ray sees no GPU: {_inventory(nodes)}. Start machines with GPUs, or leave it out."
        )
    use_gpu = use_gpu or (has_gpus and placement.device == "auto")
    device, gpus = ("cuda", placement.gpus_per_worker or 1.0) if use_gpu else ("cpu", 0.0)
    smallest = Share(device, 1, gpus)
    machines = sum(node.cpus > 0 for node in nodes)
    count = placement.workers or (count_fitting(nodes, smallest) if use_gpu else machines)
    for cpus in range(max((node.cpus for node in nodes), default=0), 0, -1):
        share = Share(device, cpus, gpus)
        if 0 < count <= count_fitting(nodes, share):
            return share, count
    if not machines:
        raise PipelineError(
            f"No machine of the cluster takes work: {_inventory(nodes)}. Start machines (`ray start --address ...`), "
            "or run without Ray: --workers 0."
        )
    raise PipelineError(
        f"{count_of(max(count, 1), 'worker')} with at least {describe(smallest)} each do not fit: {_inventory(nodes)} "
        f"have room for {count_fitting(nodes, smallest)}. Use fewer --workers or more machines"
        + (", or a smaller --gpus-per-worker." if use_gpu else ".")
    )


def count_fitting(nodes: Sequence[Node], share: Share) -> int:
    """Return the number of workers that fit on the machines."""
    return sum(_fitting(node, share) for node in nodes)


def describe_crew(nodes: Sequence[Node], share: Share, count: int) -> str:
    """Return the machines that workers run on, in one line."""
    useful = [node for node in nodes if _fitting(node, share)]
    kinds = sorted({node.gpu_kind for node in useful if node.gpu_kind}) if share.gpus else []
    kind = f" ({', '.join(kinds)})" if kinds else ""
    return f"{count_of(len(useful), 'node')}, {count_of(count, 'worker')}, each {share.device}, {describe(share)}{kind}"


def describe(share: Share) -> str:
    """Return the cores and GPUs of a share in words."""
    gpus = f" and {share.gpus:g} GPU" if share.gpus else ""
    return f"{count_of(share.cpus, 'core')}{gpus}"


def count_of(number: int, noun: str) -> str:
    """Return a number and a noun, in the plural if needed."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _fitting(node: Node, share: Share) -> int:
    by_cores = node.cpus // share.cpus
    return min(by_cores, int(node.gpus / share.gpus + 1e-6)) if share.gpus else by_cores


def _inventory(nodes: Sequence[Node]) -> str:
    """Return the machines in words, equal ones together: `2 nodes of 8 cores and 1 GPU, 1 node of 4 cores`."""
    kinds = Counter((node.cpus, node.gpus) for node in nodes)
    if len(kinds) > 1:
        kinds.pop((0, 0), None)  # a head that takes no work
    listed = [
        f"{count_of(number, 'node')} of {count_of(cpus, 'core')}" + (f" and {count_of(gpus, 'GPU')}" if gpus else "")
        for (cpus, gpus), number in sorted(kinds.items(), reverse=True)
    ]
    return ", ".join(listed) or "no node is alive"
