"""Rerun the speed figures of the results page on a CPU, and say which have moved: `python -m benchmarks.guard`.

    python -m benchmarks.guard --davis DAVIS --predictions MASKS --raft raft-small.pth
    python -m benchmarks.guard --only flow_kernel --only saliency

Each benchmark runs in a new process with few rounds. Its ratios to its rivals are compared with those in
benchmarks/results. The scatter of a ratio is the largest distance of a round from the median; a ratio has moved if the
medians of both runs differ by more than the scatter of both. Where the committed run names no rounds, the scatter of
the new run counts twice. The exit code is 1 if a ratio got smaller, which means slower, and 2 if a benchmark failed.

Ratios of another machine differ from those of this one, so the processor of the committed run is named if it is
another.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.record import RESULTS, ROOT
from benchmarks.rounds import Ratio

SECONDS_PER_BENCHMARK = 1200
"""Longest time of one benchmark; what takes longer has failed."""


@dataclass(frozen=True)
class Check:
    """One ratio of the results page.

    Attributes:
        task: task in the table of docs/results.md, as it is written there.
        benchmark: key of `COMMANDS`.
        results: name of the JSON file without its ending.
        path: keys under which the ratio stands in the file; numbers choose from lists.
    """

    task: str
    benchmark: str
    results: str
    path: tuple[str | int, ...]


@dataclass(frozen=True)
class Command:
    """How a benchmark is run again.

    Attributes:
        words: module and arguments; `{davis}` and the like stand for the data of that name.
        needs: names of the data, or of packages that no extra installs.
    """

    words: tuple[str, ...]
    needs: tuple[str, ...] = ()


DATA = {
    "davis": "DAVIS tree, for flow and masks of videos",
    "predictions": "folder of predicted masks of the val sequences of --davis",
    "raft": "file with the weights of RAFT-small",
}
"""Data that some benchmarks need, each an option of this command; without it they are not run."""
COMMANDS: Mapping[str, Command] = {
    "step": Command(("benchmarks.training", "step")),
    "loader": Command(("benchmarks.training", "loader")),
    "sizes": Command(("benchmarks.training", "sizes")),
    "raft": Command(("benchmarks.raft", "--davis", "{davis}", "--weights", "{raft}"), ("davis", "raft")),
    "commands": Command(
        ("benchmarks.commands", "--davis", "{davis}", "--raft", "{raft}", "--frames", "6"), ("davis", "raft")
    ),
    "masks": Command(("benchmarks.commands", "--davis", "{davis}", "--frames", "8"), ("davis",)),
    "depth": Command(("benchmarks.depth", "--networks", "dpt-hybrid")),
    "flow_kernel": Command(("benchmarks.flow_kernel",)),
    "frames": Command(("benchmarks.frames",)),
    "shards": Command(("benchmarks.shards",), ("zarrs",)),
    "metrics": Command(
        ("benchmarks.metrics", "--davis", "{davis}", "--predictions", "{predictions}"), ("davis", "predictions")
    ),
    "saliency": Command(("benchmarks.saliency",), ("py_sod_metrics",)),
}
CHECKS: tuple[Check, ...] = (
    Check("a step of training, mit-b0 at 256 px", "step", "training_step", ("sides_px", "256", "ratio")),
    Check("the same at 512 px", "step", "training_step", ("sides_px", "512", "ratio")),
    Check("samples for training, on one core", "loader", "training_loader", ("ratio",)),
    Check("the same as bytes, which a GPU turns into floats", "loader", "training_loader", ("ratio_to_a_gpu",)),
    Check("RAFT-small flow of 480p video", "raft", "raft", ("speed", "ratio")),
    Check(
        "`segmentation predict` with RAFT-small, from frames to masks and overlay",
        "commands",
        "commands",
        ("times_faster", "predict"),
    ),
    Check(
        "`segmentation evaluate` with RAFT-small, scores included",
        "commands",
        "commands",
        ("times_faster", "evaluate"),
    ),
    Check("the same with flow that is there already", "masks", "masks", ("times_faster", "evaluate")),
    Check("depth by DPT-Hybrid", "depth", "depth", ("results", 0, "ratio")),
    Check(
        "inverse depth -> flow, on one core",
        "flow_kernel",
        "flow_kernel",
        ("flow_cpu", "camera", "unproject_transform_project_over_ours"),
    ),
    Check("flow -> colours", "flow_kernel", "flow_kernel", ("flow_to_rgb_cpu", "numpy_over_ours")),
    Check("next frame of a photo, on one core", "frames", "frames", ("median_ratio", "splat2")),
    Check("the same, visibly worse", "frames", "frames", ("median_ratio", "splat")),
    Check("`pipeline run --frames 2`", "frames", "frames", ("run", "pairs_over_photos")),
    *(
        Check(task, "shards", "shards", (part, f"{library}_over_ours"))
        for task, part in (
            ("one shard: encode, write, read back", "write_one_shard"),
            ("read all samples of a shard, in batches of training", "read_all_samples"),
        )
        for library in ("zarr-python", "zarrs")
    ),
    Check(
        "a step of training, small network at 192 px, on one core",
        "sizes",
        "training_sizes",
        ("ratio_to_mit_b0", "small"),
    ),
    Check("the same with Winograd's convolutions, mit-b0", "sizes", "training_sizes", ("winograd_over_plain",)),
    Check("J and F of masks in memory", "metrics", "metrics", ("DAVIS-2016", "times faster, arrays")),
    Check("MAE, F-beta, S- and E-measure of soft masks in memory", "saliency", "saliency", ("times faster",)),
)


@dataclass(frozen=True)
class Moved:
    """A ratio in both runs.

    Attributes:
        committed: median of the committed run.
        now: median of the new run.
        scatter: sum of the scatters of both.
        elsewhere: processor of the committed run if it is another than that of the new one, or empty.
    """

    committed: float
    now: float
    scatter: float
    elsewhere: str = ""

    @property
    def verdict(self) -> str:
        """`slower`, `faster`, or `as before` if both lie within the scatter."""
        if abs(self.now - self.committed) <= self.scatter:
            return "as before"
        return "slower" if self.now < self.committed else "faster"


def compare(committed: float | Ratio, now: Ratio) -> Moved:
    """Compare a ratio of the committed run, with or without its rounds, with that of a new run."""
    new = scatter_of(now)
    if not isinstance(committed, dict):
        return Moved(float(committed), now["median"], 2 * new)
    return Moved(committed["median"], now["median"], scatter_of(committed) + new)


def scatter_of(ratio: Ratio) -> float:
    """Return the largest distance of a round from the median."""
    return max(abs(one - ratio["median"]) for one in ratio["all"])


def find(figures: Mapping[str, Any], path: Sequence[str | int]) -> Any:
    """Return what stands under some keys of a JSON file."""
    found: Any = figures
    for key in path:
        found = found[key]
    return found


def run_again(command: Command, data: Mapping[str, str], folder: Path) -> str | None:
    """Run a benchmark with few rounds into a folder; return why it failed, or None."""
    words = [word.format(**data) for word in command.words]
    try:
        done = subprocess.run(
            [sys.executable, "-m", *words, "--quick", "--output", str(folder)],
            cwd=ROOT,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS_PER_BENCHMARK,
        )
    except subprocess.TimeoutExpired:
        return f"took more than {SECONDS_PER_BENCHMARK} s"
    if done.returncode:
        return (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
    return None


def lacking(command: Command, data: Mapping[str, str]) -> str | None:
    """Return what a benchmark needs and does not have here, or None."""
    from importlib.util import find_spec

    for name in command.needs:
        if name in DATA:
            if name not in data:
                return f"needs --{name}"
        elif find_spec(name) is None:
            return f"needs the package {name}"
    return None


def main() -> None:
    """Rerun, compare, print the table, and exit with 1 if something became slower."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=COMMANDS, help="benchmark to run; may be repeated")
    for name, meaning in DATA.items():
        parser.add_argument(f"--{name}", help=meaning)
    given = parser.parse_args()
    data = {name: str(Path(path).resolve()) for name in DATA if (path := getattr(given, name))}
    verdicts, has_failed = [], False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for benchmark in given.only or COMMANDS:
            if reason := lacking(COMMANDS[benchmark], data):
                print(f"{benchmark}: not run, {reason}", flush=True)
                continue
            begun = time.perf_counter()
            if reason := run_again(COMMANDS[benchmark], data, folder):
                has_failed = True
                print(f"{benchmark}: failed, {reason}", flush=True)
                continue
            print(f"{benchmark}: {time.perf_counter() - begun:.0f} s", flush=True)
            for check in (one for one in CHECKS if one.benchmark == benchmark):
                moved = read_both(check, folder)
                if moved.elsewhere:
                    print(f"  the committed run was made on {moved.elsewhere}", flush=True)
                print(f"  {row_of(check, moved)}", flush=True)
                verdicts.append(moved.verdict)
    print(
        f"{verdicts.count('slower')} slower, {verdicts.count('faster')} faster, {verdicts.count('as before')} as before"
    )
    sys.exit(1 if "slower" in verdicts else 2 if has_failed else 0)


def read_both(check: Check, folder: Path) -> Moved:
    """Compare a ratio in a folder of new results with the committed one."""
    now, committed = (json.loads((place / f"{check.results}.json").read_text()) for place in (folder, RESULTS))
    here, there = (figures["environment"]["processor"] for figures in (now, committed))
    moved = compare(find(committed, check.path), find(now, check.path))
    return replace(moved, elsewhere="" if here == there else there)


def row_of(check: Check, moved: Moved) -> str:
    """Return a row of the printed table."""
    return (
        f"{check.task:<56.56} {moved.committed:6.2f} -> {moved.now:6.2f} (scatter {moved.scatter:.2f})  {moved.verdict}"
    )


if __name__ == "__main__":
    main()
