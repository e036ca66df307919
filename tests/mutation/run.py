"""Would the tests notice? Changes the code in many small ways, one at a time, and runs the tests that should fail.

    python -m tests.mutation.run tests/mutation/mutants_geometry.toml --output /tmp/geometry.json

A list of mutants is TOML, one table for each:

    [[mutant]]
    file = "flowsim/sampling.py"
    old = "distance = pivot[2]"
    new = "distance = 1.0"
    tests = ["tests/flowsim/test_flowsim_motion.py"]
    note = "object translation is not scaled by the object's distance"

Everything happens in a temporary copy of the tree (what git tracks or would track). The named test modules must pass
there unchanged. Then each mutant replaces `old`, which must occur exactly once in the file, and those of its modules
run until a test fails (killed), all pass (survived), or time is up, which counts for neither.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SLOW_LIBRARIES = ("torch", "numba", "beartype", "scipy.stats", "cv2", "PIL.Image")  # none that is a plugin of pytest
PASSED, FAILED, NOT_RUN = 0, 1, 3
"""Exit codes of pytest: the first two answer the question, others mean that the tests could not run."""


class MutationError(Exception):
    """A list of mutants, or a tree, that no answer can be had from."""


@dataclass(frozen=True)
class Mutant:
    """One change of the code.

    Attributes:
        file: below the root.
        old: text that occurs exactly once in the file.
        new: text in its place.
        tests: modules that should notice, below the root, or tests in them (`module::test`).
        note: what the change means.
    """

    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    note: str

    def apply(self, source: str) -> str:
        """Return the changed source.

        Raises:
            MutationError: the old text is not there exactly once, or the changed source is no Python.
        """
        found = source.count(self.old)
        if found != 1:
            raise MutationError(f"{self}: the old text occurs {found} times, expected once")
        changed = source.replace(self.old, self.new)
        try:
            same = ast.dump(ast.parse(changed)) == ast.dump(ast.parse(source))
        except SyntaxError as error:
            raise MutationError(f"{self}: the changed file is no Python ({error})") from error
        if same:
            raise MutationError(f"{self}: the change means nothing")
        return changed

    def __str__(self) -> str:
        return f"{self.file}: {self.note}"


@dataclass(frozen=True)
class Verdict:
    """Outcome of the tests for one mutant.

    Attributes:
        result: `killed`, `survived`, `out of time`, or `not run` where the change keeps the tests from starting.
        by: the first test that failed.
        seconds: that its tests took.
    """

    file: str
    note: str
    result: str
    by: str
    seconds: float


def read_mutants(lists: Sequence[Path], root: Path = ROOT) -> list[Mutant]:
    """Read lists of mutants and check every entry against the tree.

    Raises:
        MutationError: an entry lacks something, names a file that is not there, or cannot be applied.
    """
    mutants, problems = [], []
    for path in lists:
        for entry in tomllib.loads(path.read_text())["mutant"]:
            try:
                mutants.append(_read_mutant(entry, root))
            except MutationError as problem:
                problems.append(f"{path}: {problem}")
    if problems:
        raise MutationError("\n".join(problems))
    return mutants


def _read_mutant(entry: dict[str, Any], root: Path) -> Mutant:
    if odd := entry.keys() ^ {field.name for field in fields(Mutant)}:
        raise MutationError(f"{entry}: lacks, or has no use for, {', '.join(sorted(odd))}")
    mutant = Mutant(**{**entry, "tests": tuple(entry["tests"])})
    for name in (mutant.file, *(test.split("::")[0] for test in mutant.tests)):
        if not (root / name).is_file():
            raise MutationError(f"{mutant}: {name} is not there")
    mutant.apply((root / mutant.file).read_text())
    return mutant


def copy_tree(target: Path) -> None:
    """Copy what git tracks or would track."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes((ROOT / name).read_bytes())


@contextmanager
def changed_file(path: Path, source: str) -> Iterator[None]:
    """Change a file for a while; its times tell caches of compiled code that it changed, and that it changed back."""
    original = path.read_text()
    path.write_text(source)
    os.utime(path, (time.time() + 10, time.time() + 10))
    try:
        yield
    finally:
        path.write_text(original)
        os.utime(path, (time.time() + 20, time.time() + 20))


def run_tests(tree: Path, tests: Sequence[str], timeout_s: float) -> tuple[int | None, str]:
    """Run tests until one fails, in a fork of this process, which has imported what is slow to import.

    Returns:
        pytest's exit code, None out of time, and the end of its words.
    """
    with tempfile.TemporaryFile("w+") as words:
        process = multiprocessing.get_context("fork").Process(target=_run_pytest, args=(tree, tests, words.fileno()))
        process.start()
        try:
            process.join(timeout_s)
            code = process.exitcode
        finally:
            if process.exitcode is None and process.pid is not None:
                os.killpg(process.pid, signal.SIGKILL)  # the tests' own processes, too
                process.join()
        words.seek(0)
        return code, words.read()[-3000:]


def _run_pytest(tree: Path, tests: Sequence[str], output: int) -> None:
    """Be a new process in the tree that runs pytest and ends."""
    os.setpgid(0, 0)
    for stream in (1, 2):
        os.dup2(output, stream)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.chdir(tree)
    os.environ.update(PYTHONPATH=str(tree), PYTHONDONTWRITEBYTECODE="1")
    sys.dont_write_bytecode = True
    sys.path[:] = [str(tree), *(entry for entry in sys.path if entry and Path(entry).resolve() != ROOT)]
    for name in [name for name in sys.modules if name.split(".")[0] == "tests"]:
        del sys.modules[name]  # the tree has its own
    sys.stdout, sys.stderr = (os.fdopen(stream, "w", buffering=1) for stream in (1, 2))
    import pytest

    options = ("-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=no")
    code = NOT_RUN
    try:
        code = int(pytest.main([*options, *tests]))
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    os._exit(code)


def import_slow_libraries() -> None:
    """Import what most tests import anyway, once for all forks; nothing of this project."""
    os.environ |= {name: os.environ.get(name, "1") for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    for name in SLOW_LIBRARIES:
        with suppress(ImportError):
            importlib.import_module(name)


def judge(tree: Path, mutant: Mutant, timeout_s: float) -> Verdict:
    """Run a mutant's tests on it."""
    path = tree / mutant.file
    started = time.monotonic()
    with changed_file(path, mutant.apply(path.read_text())):
        code, words = run_tests(tree, mutant.tests, timeout_s)
    result = {None: "out of time", PASSED: "survived", FAILED: "killed"}.get(code, "not run")
    failed = re.findall(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", words, re.MULTILINE)
    by = failed[0] if failed else ""
    return Verdict(mutant.file, mutant.note, result, by, round(time.monotonic() - started, 1))


def run(mutants: Sequence[Mutant], timeout_s: float) -> Iterator[Verdict]:
    """Yield what becomes of each mutant.

    Raises:
        MutationError: the tests fail on the unchanged tree.
    """
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder) / "tree"
        copy_tree(tree)
        import_slow_libraries()
        modules = sorted({module for mutant in mutants for module in mutant.tests})
        code, words = run_tests(tree, modules, timeout_s * len(modules))
        if code != PASSED:
            raise MutationError(f"the tests do not pass on the unchanged tree (pytest's exit code {code}):\n{words}")
        for mutant in mutants:
            yield judge(tree, mutant, timeout_s)


def main() -> None:
    parser = argparse.ArgumentParser(description="Change the code in small ways and see whether the tests notice.")
    parser.add_argument("lists", nargs="+", type=Path, help="TOML files of mutants")
    parser.add_argument("--only", default="", help="mutants whose file or note holds this text")
    parser.add_argument("--check", action="store_true", help="only check that every mutant can be applied")
    parser.add_argument("--timeout", type=float, default=300, help="seconds for the tests of one mutant")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("error: ended by SIGTERM"))  # the copy is removed
    verdicts: list[Verdict] = []
    try:
        mutants = [mutant for mutant in read_mutants(options.lists) if options.only in str(mutant)]
        print(f"{len(mutants)} mutants", flush=True)
        if options.check:
            return
        for verdict in run(mutants, options.timeout):
            verdicts.append(verdict)
            by = f" by {verdict.by}" if verdict.by else ""
            print(f"{verdict.result}{by}, {verdict.seconds} s: {verdict.file}: {verdict.note}", flush=True)
    except MutationError as error:
        sys.exit(f"error: {error}")
    killed = sum(verdict.result == "killed" for verdict in verdicts)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = {"commit": commit.strip(), "mutants": len(verdicts), "killed": killed}
    print(f"{killed} of {len(verdicts)} killed ({100 * killed / max(1, len(verdicts)):.0f} %)")
    if options.output:
        found["verdicts"] = [asdict(verdict) for verdict in verdicts]
        options.output.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
