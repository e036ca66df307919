"""Division of machines among workers, and the messages if machines lack what was asked for."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import torch

from pipeline.engine.cluster import is_on_cluster, needs_ray
from pipeline.engine.placement import Node, Placement, Share, describe_crew, plan_workers
from pipeline.errors import PipelineError


@pytest.mark.parametrize(
    ("nodes", "placement", "share", "count"),
    [
        ([Node(8, 0)], Placement(), Share("cpu", 8), 1),
        ([Node(8, 0), Node(8, 0)], Placement(), Share("cpu", 8), 2),
        ([Node(0, 0), Node(8, 0)], Placement(), Share("cpu", 8), 1),  # a head that takes no work
        ([Node(8, 0), Node(2, 0)], Placement(3), Share("cpu", 2), 3),
        ([Node(3, 0), Node(3, 0), Node(3, 0)], Placement(2), Share("cpu", 3), 2),
        ([Node(16, 4)], Placement(), Share("cuda", 4, 1), 4),
        ([Node(16, 4), Node(64, 0)], Placement(), Share("cuda", 4, 1), 4),
        ([Node(16, 4), Node(4, 1)], Placement(2), Share("cuda", 8, 1), 2),
        ([Node(16, 4)], Placement(2, "cpu"), Share("cpu", 8), 2),
        ([Node(2, 4)], Placement(), Share("cuda", 1, 1), 2),  # fewer cores than GPUs
        ([Node(8, 1)], Placement(gpus_per_worker=0.5), Share("cuda", 4, 0.5), 2),
        ([Node(8, 1), Node(8, 1)], Placement(gpus_per_worker=0.25), Share("cuda", 2, 0.25), 8),
        ([Node(9, 1)], Placement(gpus_per_worker=1 / 3), Share("cuda", 3, 1 / 3), 3),
        ([Node(8, 1)], Placement(gpus_per_worker=0.4), Share("cuda", 4, 0.4), 2),
        ([Node(8, 4)], Placement(2, gpus_per_worker=2), Share("cuda", 4, 2), 2),  # as training does
    ],
)
def test_a_cluster_is_divided_so_that_all_fit(
    nodes: list[Node], placement: Placement, share: Share, count: int
) -> None:
    assert plan_workers(nodes, placement) == (share, count)


@pytest.mark.parametrize(
    ("nodes", "placement", "sentence"),
    [
        ([Node(4, 0)] * 2, Placement(9), r"9 workers with at least 1 core each do not fit: 2 nodes of 4 cores have "),
        ([Node(8, 2)], Placement(3, "cuda"), r"3 workers .* 1 core and 1 GPU each .* 2 GPUs have room for 2"),
        ([Node(8, 1)], Placement(3, gpus_per_worker=0.5), r"for 2. Use fewer --workers .* smaller --gpus-per-worker"),
        ([Node(8, 0)], Placement(device="cuda"), r"--device cuda, but Ray sees no GPU: 1 node of 8 cores"),
        ([Node(8, 0)], Placement(gpus_per_worker=0.5), r"--gpus-per-worker 0.5, but Ray sees no GPU"),
        ([Node(0, 0), Node(4, 0)], Placement(9), r"9 workers .* do not fit: 1 node of 4 cores have room for 4"),
        ([Node(0, 0)], Placement(), r"No machine of the cluster takes work: 1 node of 0 cores. Start machines"),
        ([], Placement(), r"No machine of the cluster takes work: no node is alive"),
    ],
)  # fmt: skip
def test_more_than_the_cluster_has_is_refused(nodes: list[Node], placement: Placement, sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        plan_workers(nodes, placement)


def test_what_contradicts_itself_is_refused() -> None:
    with pytest.raises(PipelineError, match="leave it or --workers 0 out"):
        Placement(0, gpus_per_worker=0.5)
    with pytest.raises(PipelineError, match="leave it or --device cpu out"):
        Placement(None, "cpu", 0.5)
    with pytest.raises(PipelineError, match="--gpus-per-worker -1; expected more than 0"):
        Placement(gpus_per_worker=-1)


def test_one_line_says_what_is_used() -> None:
    nodes = [Node(0, 0), Node(8, 1, "A10G"), Node(8, 1, "A10G"), Node(64, 0)]
    share, count = plan_workers(nodes, Placement(gpus_per_worker=0.5))
    assert describe_crew(nodes, share, count) == "2 nodes, 4 workers, each cuda, 4 cores and 0.5 GPU (A10G)"
    assert describe_crew([Node(1, 0)], Share("cpu", 1), 1) == "1 node, 1 worker, each cpu, 1 core"


def test_a_gpu_overlaps_shards_and_a_cpu_does_not() -> None:
    assert [Share("cpu", cpus).tasks_in_flight for cpus in (1, 8)] == [1, 1]
    assert [Share("cuda", cpus, 1).tasks_in_flight for cpus in (1, 3, 8)] == [3, 3, 8]


@pytest.mark.parametrize(
    ("placement", "address", "gpus", "on_ray"),
    [
        (Placement(), None, 0, False),
        (Placement(), None, 1, False),
        (Placement(), None, 2, True),
        (Placement(device="cpu"), None, 2, False),
        (Placement(), "10.0.0.1:6379", 0, True),
        (Placement(workers=0), "10.0.0.1:6379", 2, False),
        (Placement(workers=1), None, 0, True),
        (Placement(gpus_per_worker=0.5), None, 1, True),
    ],
)
def test_ray_is_started_only_where_it_helps(
    monkeypatch: pytest.MonkeyPatch, placement: Placement, address: str | None, gpus: int, on_ray: bool
) -> None:
    if "ray" in sys.modules:
        sys.modules["ray"].shutdown()  # of an earlier test in this process
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if address is not None:
        monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert needs_ray(placement) == on_ray


def test_ray_that_is_being_imported_is_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))  # as it is in another thread at first
    assert not is_on_cluster()
