"""The guard of the speed figures: what counts as moved, and that it knows every ratio of the results page."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.guard import CHECKS, COMMANDS, RESULTS, compare, find, main, read_both
from benchmarks.rounds import Ratio, ratio_of, ratio_of_times
from tests.conftest import ROOT


def speed_table() -> dict[str, int]:
    """Return for each task of the speed table how many ratios its column of CPUs has."""
    text = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    body = text[text.index("| task | rival |") :].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in body.splitlines()[2:]]
    return {task: len(re.findall(r"\d+\.\d+", cpu)) for task, _, cpu, _ in rows}


def ratio(*rounds: float) -> Ratio:
    return {"median": sorted(rounds)[len(rounds) // 2], "all": list(rounds)}


@pytest.mark.parametrize(
    ("committed", "now", "verdict"),
    [
        (ratio(2.0, 2.1, 1.9), ratio(2.1, 2.2, 2.0), "as before"),
        (ratio(2.0, 2.1, 1.9), ratio(1.7, 1.75, 1.65), "slower"),
        (ratio(2.0, 2.1, 1.9), ratio(2.3, 2.35, 2.25), "faster"),
        (ratio(2.0, 2.5, 1.9), ratio(1.7, 1.75, 1.65), "as before"),
        (2.0, ratio(1.85, 1.95, 1.8), "as before"),
        (2.0, ratio(1.75, 1.85, 1.7), "slower"),
    ],
)
def test_a_ratio_has_moved_if_it_leaves_the_scatter_of_both_runs(
    committed: float | Ratio, now: Ratio, verdict: str
) -> None:
    assert compare(committed, now).verdict == verdict


def test_ratios_of_rounds_are_larger_for_the_faster_side() -> None:
    assert ratio_of([4.0, 6.0, 8.0], [2.0, 2.0, 2.0]) == {"median": 3.0, "all": [2.0, 3.0, 4.0]}
    assert ratio_of_times([2.0, 2.0, 2.0], [4.0, 6.0, 8.0]) == {"median": 3.0, "all": [2.0, 3.0, 4.0]}


def test_every_ratio_of_the_speed_table_is_rerun() -> None:
    assert Counter(check.task for check in CHECKS) == speed_table()
    assert {check.benchmark for check in CHECKS} == COMMANDS.keys()


def test_every_check_finds_its_ratio_in_the_committed_results() -> None:
    for check in CHECKS:
        found = find(json.loads((RESULTS / f"{check.results}.json").read_text()), check.path)
        assert (found["median"] if isinstance(found, dict) else found) > 0, check


def test_a_new_run_is_compared_with_the_committed_one(tmp_path: Path) -> None:
    check = next(one for one in CHECKS if one.benchmark == "saliency")
    figures = json.loads((RESULTS / "saliency.json").read_text())
    figures["times faster"] = ratio(1.0, 1.01, 0.99)
    (tmp_path / "saliency.json").write_text(json.dumps(figures))
    moved = read_both(check, tmp_path)
    assert (moved.now, moved.verdict) == (1.0, "slower")


def test_what_lacks_its_data_is_named_and_not_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["guard", "--only", "raft"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert "raft: not run, needs --davis" in capsys.readouterr().out
