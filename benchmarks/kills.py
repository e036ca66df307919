"""Runs that are killed at random moments and continued, to count samples that are lost, damaged or duplicated.

The run is the command `pipeline run`, started in a process with loaded libraries, so that it spends its time on work
and not on imports. The moments are drawn from a seed in two ways: in seconds, evenly over the duration of an
undisturbed run; and in operations on the output's files (making, opening, renaming, removing), evenly over all of them,
so that every step of writing a shard and its commit record is interrupted at some time.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.processes import command_line, descendants, is_alive
from pipeline.checking.verify import verify
from pipeline.dataset.store import DatasetStore
from pipeline.making.config import RunConfig
from pipeline.making.run import run

SETTINGS: dict[str, Any] = {
    "depth_model": "tiny-dpt",
    "max_side": 64,
    "samples_per_shard": 2,
    "motion": "camera+object",
}
PRELOADED = ["pipeline.commands", "pipeline.making.run", "pipeline.making.worker", "transformers", "timm"]
OPERATIONS = ("open", "os.mkdir", "os.rename", "os.remove")
ORPHANS_MAY_LIVE_S = 60.0
RAY_RUN_MAY_TAKE_S = 240.0


class Silent:
    """Progress that is not shown."""

    def announce(self, sentence: str) -> None:
        """Do nothing."""

    def update(self, to_do: int, done: int, failed: int) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of one kill.

    Attributes:
        state: state in which the output was left.
        exit_code: exit code of the command, or the negative number of the signal if the command itself was killed.
        lost, damaged, duplicated: number of such samples after the run was continued; a sample is damaged if it differs
            from that of an undisturbed run.
    """

    victim: str
    state: str
    exit_code: int
    lost: int
    damaged: int
    duplicated: int


class KilledRuns:
    """Kills runs over one set of photos.

    Args:
        photos: folder of a DUTS tree.
        folder: folder for outputs, which is emptied between runs.
        seed: seed of the moments.
    """

    def __init__(self, photos: Path, folder: Path, seed: int = 0) -> None:
        self.photos, self.output, self.whole = photos, folder / "killed.zarr", folder / "whole.zarr"
        self.rng = np.random.default_rng(seed)
        self._context: ForkServerContext = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)
        self._continue(self.whole)

    def at_seconds(self, moments: int) -> list[Outcome]:
        """Kill runs in their own process at moments drawn in seconds."""
        self._clear()
        self._await(self._start())  # starts the fork server
        self._clear()
        started = time.monotonic()
        self._await(self._start())
        life_s = time.monotonic() - started
        outcomes: list[Outcome] = []
        while len(outcomes) < moments:
            self._clear()
            process = self._start()
            process.join(self.rng.uniform(0, life_s))
            if process.is_alive():
                os.kill(process.pid or 0, signal.SIGKILL)
                process.join()
            if process.exitcode == -signal.SIGKILL:  # otherwise it had come to its end
                outcomes.append(self._outcome("driver", process))
        return outcomes

    def at_operations(self, moments: int) -> list[Outcome]:
        """Kill runs in their own process at moments drawn in file operations."""
        self._clear()
        count = self._context.Value("q", 0)
        self._await(self._start(count=count))
        outcomes = []
        for _ in range(moments):
            self._clear()
            process = self._start(die_at=int(self.rng.integers(1, count.value)))
            process.join()
            outcomes.append(self._outcome("driver", process))
        return outcomes

    def on_ray(self, moments: int) -> list[Outcome]:
        """Kill the driver, a worker or the raylet of runs on a local Ray, in turn; moments are drawn in seconds."""
        victims = {"driver": "", "worker": "ray::_RayWorker", "raylet": "raylet/raylet"}
        self._clear()
        life_s = self._ray_life(victims)
        outcomes: list[Outcome] = []
        turns = itertools.cycle(victims)
        victim = next(turns)
        while len(outcomes) < moments:
            self._clear()
            process = self._start(workers=2)
            pid, family = _find(process, victims[victim])
            wait_s = self.rng.uniform(0, life_s[victim])
            process.join(wait_s)
            if not process.is_alive():
                _end(family)
                continue  # it ended sooner than the undisturbed run
            family |= descendants(process.pid or 0)
            os.kill(pid, signal.SIGKILL)
            deadline = time.monotonic() + RAY_RUN_MAY_TAKE_S
            while process.is_alive() and time.monotonic() < deadline:
                family |= descendants(process.pid or 0)
                process.join(1)
            outcomes.append(self._outcome(victim, process, orphans=family))
            victim = next(turns)
        return outcomes

    def _ray_life(self, victims: dict[str, str]) -> dict[str, float]:
        """Return for each kind of victim the seconds from its start to the end of an undisturbed run."""
        process = self._start(workers=2)
        appeared = {}
        for victim, words in victims.items():
            _, family = _find(process, words)
            appeared[victim] = time.monotonic()
        self._await(process)
        _end(family)
        return {victim: time.monotonic() - then for victim, then in appeared.items()}

    def _start(self, die_at: int = 0, count: Synchronized[int] | None = None, workers: int = 0) -> ForkServerProcess:
        arguments = ["--input", str(self.photos), "--output", str(self.output), "--workers", str(workers)]
        for name, value in SETTINGS.items():
            arguments += [f"--{name.replace('_', '-')}", str(value)]
        process = self._context.Process(target=_command, args=(arguments, str(self.output), die_at, count))
        process.start()
        return process

    def _await(self, process: ForkServerProcess) -> None:
        process.join()
        if process.exitcode:
            said = Path(f"{self.output}.log").read_text()
            raise SystemExit(f"the undisturbed run ended with {process.exitcode}:\n{said}")

    def _clear(self) -> None:
        shutil.rmtree(self.output, ignore_errors=True)

    def _outcome(self, victim: str, process: ForkServerProcess, orphans: set[int] | None = None) -> Outcome:
        """Continue the run, and compare its dataset with that of an undisturbed run."""
        process.join()
        state = self._state()
        self._continue(self.output)
        if orphans:
            _wait_for_the_end(orphans)
        outcome = Outcome(victim, state, process.exitcode or 0, *self._compare())
        print(outcome, flush=True)
        return outcome

    def _state(self) -> str:
        if not (self.output / "zarr.json").exists():
            return "before the dataset was there"
        committed = DatasetStore.open(str(self.output)).committed()
        begun = {int(path.name) for path in self.output.glob("*/c/*") if path.name.isdecimal()}
        if list(self.output.rglob("*.partial")):
            return "with a half-written file"
        if begun - committed:
            return "between the files of a shard"
        return "between shards"

    def _continue(self, output: Path) -> None:
        run(RunConfig(input=str(self.photos), output=str(output), workers=0, **SETTINGS), Silent())

    def _compare(self) -> tuple[int, int, int]:
        """Count the samples that are lost, damaged or duplicated."""
        made, wanted = (DatasetStore.open(str(place)) for place in (self.output, self.whole))
        layout = wanted.layout
        everything = verify(str(self.output), Silent(), all_rows=True)
        kept = {row for shard in made.committed() for row in layout.rows(shard)}
        ids = [str(name) for row, name in enumerate(made.read("id", slice(None))) if row in kept]
        damaged = set()
        for shard in made.committed():
            same = made.commits.read(shard) == wanted.commits.read(shard)
            if not same or any(finding.shard == shard for finding in everything.findings):
                damaged |= set(layout.rows(shard))
        if any(finding.shard is None for finding in everything.findings) or set(_files(self.output)) != set(
            _files(self.whole)
        ):
            damaged |= set(range(layout.samples))
        lost = set(wanted.read("id", slice(None))) - set(ids)
        return len(lost), len(damaged), len(ids) - len(set(ids))


def _files(output: Path) -> Iterator[str]:
    """List the files of a dataset without locks and logs of runs."""
    for path in output.rglob("*"):
        if path.is_file() and path.name != "lock" and path.parent.name != "runs":
            yield path.relative_to(output).as_posix()


def _command(arguments: list[str], output: str, die_at: int, count: Synchronized[int] | None) -> None:
    """Run the command line, and die at an operation on the output's files."""
    said = os.open(f"{output}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    numbers = itertools.count(1)

    def watch(event: str, values: tuple[Any, ...]) -> None:
        if event not in OPERATIONS or not isinstance(values[0], str | Path) or not str(values[0]).startswith(output):
            return
        if event == "open" and str(values[1] or "").startswith("r"):
            return
        number = next(numbers)
        if count is not None:
            count.value = number
        if number == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    from pipeline.cli import main

    sys.argv = ["pipeline", "run", *arguments]
    main()


def _find(process: ForkServerProcess, words: str) -> tuple[int, set[int]]:
    """Wait for a descendant process with these words in its command line; return it and its descendants."""
    if not words:
        return process.pid or 0, set()
    while process.is_alive():
        family = descendants(process.pid or 0)
        for pid in sorted(family):
            if words in command_line(pid):
                return pid, family
        time.sleep(0.02)
    raise SystemExit(f"the run ended with {process.exitcode} before {words} appeared; see its .log for the cause")


def _wait_for_the_end(pids: set[int]) -> None:
    """Wait until the processes left of a Ray end on their own, as on a user's machine; end them after a while."""
    deadline = time.monotonic() + ORPHANS_MAY_LIVE_S
    while any(is_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.2)
    _end(pids)


def _end(pids: set[int]) -> None:
    for pid in pids:
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)
