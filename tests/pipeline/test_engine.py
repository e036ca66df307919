"""How a cluster is divided, and that work goes on when workers die."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.engine import Node, Share, plan_workers, run_tasks
from pipeline.errors import PipelineError


@pytest.mark.parametrize(
    ("nodes", "workers", "share", "count"),
    [
        ([Node(8, 0)], None, Share("cpu", 8), 1),
        ([Node(8, 0), Node(8, 0)], None, Share("cpu", 8), 2),
        ([Node(0, 0), Node(8, 0)], None, Share("cpu", 8), 1),  # a head that takes no work
        ([Node(8, 0), Node(2, 0)], 3, Share("cpu", 2), 3),
        ([Node(16, 4)], None, Share("cuda", 4), 4),
        ([Node(16, 4), Node(64, 0)], None, Share("cuda", 4), 4),
        ([Node(16, 4), Node(4, 1)], 2, Share("cuda", 8), 2),
    ],
)
def test_a_cluster_is_divided_so_that_all_fit(nodes: list[Node], workers: int | None, share: Share, count: int) -> None:
    assert plan_workers(nodes, workers, "auto") == (share, count)


def test_more_than_the_cluster_has_is_refused() -> None:
    with pytest.raises(PipelineError, match="--workers 9, but Ray sees 8 processor cores"):
        plan_workers([Node(4, 0), Node(4, 0)], 9, "auto")
    with pytest.raises(PipelineError, match="--workers 3 on GPUs, but Ray sees 2"):
        plan_workers([Node(8, 2)], 3, "cuda")
    with pytest.raises(PipelineError, match="--workers 1, but Ray sees 0 processor cores"):
        plan_workers([Node(0, 0)], None, "auto")


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
    assert sorted(run_tasks(start, range(6), 2, "cpu", said.append)) == [0, 2, 4, 6, 8, 10]
    assert any("a worker was lost; its tasks go to others" in sentence for sentence in said)
    with pytest.raises(PipelineError, match="A worker could not be kept running"):
        list(run_tasks(start, [1, -1], 1, "cpu", said.append))
