"""Progress of a command: rate and time left count only this run, on a terminal and in a log."""

from __future__ import annotations

import re

import pytest

from pipeline.command.progress import ProgressLine, rate_in_words
from tests.conftest import MakeDuts
from tests.pipeline.conftest import Command


class Clock:
    """A clock that is set by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_rate_and_time_left_count_what_this_run_did(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressLine("samples", clock) as line:
        line.update(240, 72, 0)  # of an earlier run
        clock.now += 30
        line.announce("mit-b0 on cpu")
        assert line.rate == ""
        clock.now += 12
        line.update(240, 96, 0, "epoch 2")
        assert line.rate == "2.0/s"
    assert capsys.readouterr().err == "mit-b0 on cpu\n96/240 samples, 2.0/s, 0:01:12 left, epoch 2\n"


def test_sentences_in_mid_run_leave_the_clock_alone(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressLine("photos", clock) as line:
        line.update(40, 0, 0)
        clock.now += 10
        line.update(40, 10, 0)
        line.announce("a worker was lost; its tasks go to others")
        clock.now += 10
        line.update(40, 20, 1)
    assert capsys.readouterr().err.splitlines()[-1] == "20/40 photos, 1.0/s, 0:00:20 left, 1 failed"


def test_a_log_gets_a_line_now_and_then_and_one_at_the_end(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressLine("photos", clock) as line:
        line.update(60, 0, 0)
        for done in range(1, 61):
            clock.now += 1
            line.update(60, done, 0)
    printed = capsys.readouterr().err.splitlines()
    assert [line.split("/")[0] for line in printed] == ["11", "22", "33", "44", "55", "60"]
    assert printed[0] == "11/60 photos, 1.0/s, 0:00:49 left"
    assert printed[-1] == "60/60 photos, 1.0/s"


def test_what_is_counted_next_has_a_rate_of_its_own(clock: Clock) -> None:
    with ProgressLine("checked", clock) as line:
        for to_do in (100, 50):
            line.update(to_do, 0, 0)
            clock.now += 10
            line.update(to_do, to_do, 0)
            assert line.rate == f"{to_do / 10:.1f}/s"


@pytest.mark.parametrize(
    ("per_second", "words"), [(21.04, "21.0/s"), (1, "1.0/s"), (0.1, "6.0/min"), (0.0125, "45.0/h")]
)
def test_slow_rates_have_a_unit_that_shows_them(per_second: float, words: str) -> None:
    assert rate_in_words(per_second) == words


def test_a_run_states_one_rate(pipeline: Command, make_duts: MakeDuts) -> None:
    root = make_duts()
    done = pipeline(
        *("run", "--input", root, "--output", root.parent / "out.zarr"),
        *("--workers", 0, "--depth-model", "tiny-dpt", "--max-side", 96, "--samples-per-shard", 2),
    )
    last = re.search(r"^5/5 photos, ([\d.]+/(s|min))$", done.stderr, re.MULTILINE)
    assert last
    assert f"5 of 5 photos usable, 5 in this run at {last[1]}\n" in done.stdout
