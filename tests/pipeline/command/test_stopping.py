"""Commands that are stopped while they start: one sentence and the exit code of any stop."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import ROOT

RUN = ("pipeline", "run", "--input", "examples/DUTS", "--depth-model", "tiny-dpt", "--output")
PREDICT = ("segmentation", "predict", "examples/box.mp4", "--output")


def await_handler(process: subprocess.Popen[str]) -> None:
    """Wait until a process handles SIGTERM, which Python by itself does not."""
    while process.poll() is None:
        state = Path(f"/proc/{process.pid}/status").read_text()
        caught = re.search(r"^SigCgt:\s+(\w+)$", state, re.MULTILINE)
        if caught and int(caught[1], 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.001)


@pytest.mark.parametrize("delay_s", [0, 0.1, 0.2, 0.4, 0.8])
@pytest.mark.parametrize(("number", "command"), [(signal.SIGINT, RUN), (signal.SIGTERM, PREDICT)])
def test_a_stop_while_a_command_starts_is_one_sentence(
    tmp_path: Path, number: int, command: Sequence[str], delay_s: float
) -> None:
    def listen() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # who starts the tests in the background ignores it

    program, *arguments = command
    words = [sys.executable, "-m", f"{program}.cli", *arguments, str(tmp_path / "out")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, cwd=ROOT, preexec_fn=listen, **pipes) as process:  # type: ignore[call-overload]
        try:
            await_handler(process)
            time.sleep(delay_s)
            process.send_signal(number)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, errors
    *before, last = errors.splitlines()
    assert last == "Stopped. Finished work stays; the same command continues."
    assert before in ([], ["7 photos (DUTS: DUTS-TR); depth by tiny-dpt"])


@pytest.mark.parametrize("program", ["pipeline", "segmentation"])
def test_stops_are_answered_before_commands_are_loaded(program: str) -> None:
    late = {"typer", "rich", "json", f"{program}.commands"}
    code = f"import sys, {program}.cli; print(sorted({late} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
