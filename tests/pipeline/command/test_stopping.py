"""Commands that are stopped while they start: one sentence and the exit code of any stop."""

from __future__ import annotations

import ctypes
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.command.stopping import stopped_by_signals, take_all_time, take_back_signals
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
    program, *arguments = command
    words = [sys.executable, "-m", f"{program}.cli", *arguments, str(tmp_path / "out")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, cwd=ROOT, **pipes) as process:  # type: ignore[call-overload]
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


def test_a_handler_that_ray_puts_in_place_neither_takes_a_stop_nor_ends_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)  # which a stop replaces, as the process is to end
    with stopped_by_signals():
        try:
            ctypes.CDLL(None).signal(signal.SIGTERM, ctypes.c_void_p(1))  # ignores it; Python does not know
            take_back_signals()
            signal.alarm(60)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
            take_all_time()
            assert signal.alarm(0) == 0
        finally:
            signal.alarm(0)


@pytest.mark.parametrize("program", ["pipeline", "segmentation"])
def test_stops_are_answered_before_commands_are_loaded(program: str) -> None:
    late = {"typer", "rich", "json", f"{program}.commands"}
    code = f"import sys, {program}.cli; print(sorted({late} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
