"""The course of tasks on many simulated machines: losses of workers and machines, deadly tasks, stragglers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from benchmarks.simulated_machines import Behaviour, SimulatedMachines
from pipeline.engine.crew import run_on
from pipeline.engine.machines import WorkerLostError
from pipeline.engine.placement import Node, Placement
from pipeline.errors import PipelineError

GPUS_OF_A_NODE = 8
CALM = Behaviour(task_seconds=10)


class Doubler:
    """Doubles numbers; says that its process ends at a negative one."""

    def make(self, task: int) -> int:
        if task < 0:
            raise WorkerLostError("the process ended")
        return 2 * task


def eight_gpus(behaviour: Behaviour, machines: int = 8) -> SimulatedMachines:
    return SimulatedMachines(machines, Node(32, GPUS_OF_A_NODE), GPUS_OF_A_NODE, behaviour)


def outcomes(machines: SimulatedMachines, tasks: Any, said: list[str] | None = None, are_alike: bool = True) -> Any:
    said = [] if said is None else said
    return run_on(machines, lambda share: Doubler(), tasks, Placement(), said.append, are_alike)


def doubled_once(made: Iterable[int], tasks: range) -> bool:
    return Counter(made) == Counter(2 * task for task in tasks)


def test_a_machine_that_fails_with_all_its_workers_does_not_end_the_run() -> None:
    class FailingAtOnce(SimulatedMachines):
        """Loses the workers of its first machine in one moment, after every worker has done some tasks."""

        def wait(self, references: Any, seconds: float) -> Any:
            if self.clock > 100 and not self.losses:
                for worker in self._places[:GPUS_OF_A_NODE]:
                    assert worker is not None
                    self._lose(worker)
            return super().wait(references, seconds)

    machines, said = FailingAtOnce(8, Node(32, GPUS_OF_A_NODE), GPUS_OF_A_NODE, CALM), list[str]()
    assert doubled_once(outcomes(machines, range(2000), said), range(2000))
    assert machines.losses == GPUS_OF_A_NODE
    assert said.count("a worker was lost; its tasks go to others") == GPUS_OF_A_NODE


def test_machines_and_workers_that_fail_again_and_again() -> None:
    machines = eight_gpus(Behaviour(task_seconds=10, machine_lives_seconds=1000, worker_lives_seconds=1000))
    assert doubled_once(outcomes(machines, range(5000)), range(5000))
    assert machines.losses > 50


def test_a_task_that_ends_every_worker_ends_the_run_after_five() -> None:
    machines = eight_gpus(CALM)
    with pytest.raises(PipelineError, match=r"A worker could not be kept running \(the process ended\)"):
        list(outcomes(machines, [*range(300), -1, *range(300)]))
    assert machines.losses == 5


def test_workers_that_are_lost_while_they_start() -> None:
    machines = eight_gpus(Behaviour(task_seconds=10, start_seconds=10, worker_lives_seconds=0.1), machines=1)
    with pytest.raises(PipelineError, match="A worker could not be kept running"):
        list(outcomes(machines, range(10)))
    assert machines.losses == GPUS_OF_A_NODE - 1


@pytest.mark.parametrize("are_alike", [True, False])
def test_slow_workers_do_not_hold_the_end_of_alike_tasks(are_alike: bool) -> None:
    said: list[str] = []
    machines = eight_gpus(Behaviour(task_seconds=10, slow_workers=4, slowness=20))
    assert doubled_once(outcomes(machines, range(5000), said, are_alike), range(5000))
    even = 5000 * 10 / (60 + 4 / 20)
    assert (machines.clock < 1.4 * even) == are_alike
    assert ("a worker takes much longer than the others; its tasks go to them" in said) == are_alike


def test_a_task_that_hangs_is_done_elsewhere_while_workers_that_fail_are_replaced() -> None:
    hanging = frozenset({0, 1000, 1999})
    machines = eight_gpus(Behaviour(task_seconds=10, hanging=hanging, machine_lives_seconds=1000))
    assert doubled_once(outcomes(machines, range(2000)), range(2000))


def test_a_task_that_is_slow_everywhere_is_taken_from_a_worker_only_once() -> None:
    class Slow(SimulatedMachines):
        """Takes long for the number 700, wherever it is done."""

        def give(self, worker: Any, task: int) -> int:
            fast, self.behaviour = self.behaviour, Behaviour(task_seconds=3000 if task == 700 else 10)
            reference = super().give(worker, task)
            self.behaviour = fast
            return reference

    machines = Slow(8, Node(32, GPUS_OF_A_NODE), GPUS_OF_A_NODE, CALM)
    assert doubled_once(outcomes(machines, range(1000)), range(1000))
    assert machines.stopped == 1
